"""Full weights as one GGUF file, by the converter of llama.cpp.

The converter is a script of llama.cpp's repository and not on the package index: ``git clone
https://github.com/ggml-org/llama.cpp && pip install -r llama.cpp/requirements/requirements-convert_hf_to_gguf.txt``.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from llmops.errors import InputError

CONVERTER = "convert_hf_to_gguf.py"


def find_converter() -> Path | None:
    """llama.cpp's converter: in the folder (or the file) that ``LLAMA_CPP`` names, or on the ``PATH``.

    Raises:
        InputError: ``LLAMA_CPP`` names something without it.
    """
    named = os.environ.get("LLAMA_CPP")
    if named:
        path = Path(named).expanduser()
        script = path / CONVERTER if path.is_dir() else path
        if not script.is_file():
            raise InputError(f"LLAMA_CPP={named}: there is no {CONVERTER}; name the folder of llama.cpp")
        return script.absolute()
    found = shutil.which(CONVERTER)
    return Path(found) if found else None


def require_converter() -> Path:
    """The converter.

    Raises:
        InputError: there is none; says how to get it.
    """
    converter = find_converter()
    if converter is None:
        raise InputError(
            f"GGUF is written by llama.cpp's {CONVERTER}, which is not on the PATH: git clone "
            "https://github.com/ggml-org/llama.cpp, pip install gguf, and set LLAMA_CPP to that folder"
        )
    return converter


def write_gguf(weights: Path, file: Path, converter: Path) -> None:
    """Convert a transformers folder in its own number format; the file is there as a whole or not at all.

    Raises:
        InputError: the converter refuses the model; ends with what it says.
    """
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    command = [sys.executable, str(converter), str(weights.resolve()), "--outfile", str(part), "--outtype", "auto"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or not part.is_file():
            said = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["nothing was written"]
            raise InputError(f"{converter}: {weights} cannot be converted to GGUF: {said[-1]}")
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)

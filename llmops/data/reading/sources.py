"""Where rows come from: a file, a folder or a pattern, on this machine or on S3, with gzip or zstd or without."""

import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal, TypeAlias, cast

import pyarrow as pa
import pyarrow.fs as pafs

from llmops.errors import InputError
from llmops.settings import settings

Format: TypeAlias = Literal["jsonl", "json", "csv", "tsv", "parquet"]
Compression: TypeAlias = Literal["gzip", "zstd"]

FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}
KNOWN = f"{', '.join(FORMATS)}, all but the last also with {' or '.join(COMPRESSIONS)}"

UNREADABLE = (OSError, EOFError, zlib.error)
"""What reading a damaged or vanished file raises."""

_BUFFER = 128 * 1024


@dataclass(frozen=True)
class SourcePath:
    """One file of rows: how a person names it (`uri`), and where it lies on which file system."""

    uri: str
    path: str
    filesystem: Any
    format: Format
    compression: Compression | None = None

    def digest(self) -> str:
        """SHA-256 (hex) of the bytes as they are stored, so of the packed ones where the file is packed.

        Raises:
            InputError: the file cannot be read.
        """
        digest = hashlib.sha256()
        try:
            with self.filesystem.open_input_stream(self.path, compression=None) as stream:
                while block := stream.read(8 * _BUFFER):
                    digest.update(block)
        except OSError as error:
            raise unreadable(self.uri, error) from error
        return digest.hexdigest()

    def open(self) -> IO[bytes]:
        """The bytes of a text file, unpacked.

        Raises:
            InputError: the file cannot be opened, is not packed as its suffix says, or is UTF-16 or UTF-32.
        """
        try:
            stored = self.filesystem.open_input_stream(self.path, compression=None)
            if self.compression == "gzip":
                # Arrow's own reader gives up what it had unpacked when a file is cut off, and fails on padding.
                stream = cast(IO[bytes], gzip.GzipFile(fileobj=stored))
            else:
                raw = pa.CompressedInputStream(stored, "zstd") if self.compression else stored
                stream = cast(IO[bytes], io.BufferedReader(raw, _BUFFER))
            head = cast(io.BufferedReader, stream).peek(1024)[:1024]
        except UNREADABLE as error:
            raise unreadable(self.uri, error) from error
        other = _other_encoding(head)
        if other:
            raise InputError(f"{self.uri}: seems to be {other} text; save it as UTF-8")
        return stream


def find_sources(spec: str | Path) -> list[SourcePath]:
    """Files that `spec` names, in the order of their names.

    `spec` is a file, a folder (with all below it) or a pattern with ``*``, ``?``, ``[…]`` and ``**`` (any number of
    folders), on this machine or as ``s3://bucket/…``. In folders and patterns hidden files (``.``, ``_``) and files
    of other kinds are passed over. S3 takes its credentials, region (``AWS_REGION``) and endpoint
    (``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL``) from the environment.

    Raises:
        InputError: nothing is found, it cannot be reached, or a file's name does not say its format.
    """
    uri = str(spec)
    scheme, separator, rest = uri.partition("://")
    if separator and scheme not in ("s3", "file"):
        raise InputError(f"{uri}: cannot read from {scheme}://; use a local path or s3://")
    path = rest if separator else uri
    if not path or "\0" in path:
        raise InputError(f"{uri!r}: not the name of a file, a folder or a pattern")
    try:
        filesystem = _s3(path.partition("/")[0]) if scheme == "s3" else pafs.LocalFileSystem()
        found = _find(uri, filesystem, path)
    except (OSError, pa.ArrowException, UnicodeEncodeError) as error:
        raise unreadable(uri, error) from error
    prefix = f"{scheme}://" if separator else ""
    if isinstance(found, str):
        return [_source(prefix, found, filesystem)]
    sources = [_source(prefix, one, filesystem) for one in sorted(found) if _kind(one)[0] is not None]
    # Engines that write a folder leave empty parts in it.
    sizes = filesystem.get_file_info([source.path for source in sources])
    sources = [source for source, info in zip(sources, sizes, strict=True) if info.size != 0]
    if not sources:
        raise InputError(f"{uri}: no file found that has something in it and whose name ends in {KNOWN}")
    return sources


def split_suffixes(path: str) -> tuple[str, Compression | None]:
    """The suffix of a file's name that says its format, and how the file is packed.

    >>> split_suffixes("data/Samples.JSONL.gz")
    ('.jsonl', 'gzip')
    """
    name = PurePosixPath(path.lower())
    compression = COMPRESSIONS.get(name.suffix)
    return PurePosixPath(name.stem).suffix if compression else name.suffix, compression


def unreadable(uri: str, error: Exception) -> InputError:
    """The error that says why a file cannot be read."""
    reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return InputError(f"{uri}: cannot be read ({reason.splitlines()[0] if reason else type(error).__name__})")


def _find(uri: str, filesystem: Any, path: str) -> str | list[str]:
    """The one file that a path is, or the files below a folder or of a pattern."""
    kind = filesystem.get_file_info(path).type
    if kind == pafs.FileType.File:
        return path
    if kind == pafs.FileType.Directory:
        return [f"{path.rstrip('/')}/{name}" for name in _below(filesystem, path)]
    if kind == pafs.FileType.Unknown:
        raise InputError(f"{uri}: neither a file nor a folder")
    segments = path.split("/")
    fixed = next((number for number, segment in enumerate(segments) if set(segment) & set("*?[")), None)
    if fixed is None:
        raise InputError(f"{uri}: no such file or folder")
    start = "".join(f"{segment}/" for segment in segments[:fixed])
    names = _below(filesystem, start or ".")
    return [start + name for name in names if _matches(name.split("/"), segments[fixed:])]


def _below(filesystem: Any, folder: str) -> list[str]:
    """Files at any depth below a folder, named from there; links to folders are not followed (they may loop)."""
    if isinstance(filesystem, pafs.LocalFileSystem):
        found = [(Path(at) / name).relative_to(folder).as_posix() for at, _, names in os.walk(folder) for name in names]
    else:
        listed = filesystem.get_file_info(pafs.FileSelector(folder, recursive=True, allow_not_found=True))
        start = len(folder.rstrip("/")) + 1
        found = [info.path[start:] for info in listed if info.type == pafs.FileType.File]
    return [name for name in found if not any(part.startswith((".", "_")) for part in name.split("/"))]


def _matches(segments: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not segments
    if pattern[0] == "**":
        return any(_matches(segments[skipped:], pattern[1:]) for skipped in range(len(segments) + 1))
    return bool(segments) and fnmatchcase(segments[0], pattern[0]) and _matches(segments[1:], pattern[1:])


def _source(prefix: str, path: str, filesystem: Any) -> SourcePath:
    file_format, compression = _kind(path)
    if file_format is None:
        raise InputError(f"{prefix}{path}: cannot tell its format; use a file named {KNOWN}")
    return SourcePath(f"{prefix}{path}", path, filesystem, file_format, compression)


def _kind(path: str) -> tuple[Format | None, Compression | None]:
    suffix, compression = split_suffixes(path)
    file_format = FORMATS.get(suffix)
    return (None, None) if compression and file_format == "parquet" else (file_format, compression)


def _s3(bucket: str) -> Any:
    """S3 as the SDKs find it; Arrow reads credentials from the environment, but no endpoint and not every region."""
    endpoint, region = settings().s3_endpoint, settings().s3_region
    if region is None and endpoint is None:
        region = pafs.resolve_s3_region(bucket)
    return pafs.S3FileSystem(endpoint_override=endpoint, region=region)


def _other_encoding(head: bytes) -> str | None:
    """UTF-16 or UTF-32 by its mark, or by the zero bytes that they put around every Latin letter."""
    if head.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "UTF-32"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    pairs = len(head) // 2
    for zeros, letters in ((head[1::2], head[::2]), (head[::2], head[1::2])):
        if pairs >= 4 and zeros.count(0) > 0.6 * pairs and letters.count(0) < 0.1 * pairs:
            return "UTF-16"
    return None

import numpy as np
import pyarrow as pa
import pytest

from llmops.data.validation.language_mix import LANGUAGES, language_mix_hits, languages, main_language

# After the first article of the Universal Declaration of Human Rights.
ARTICLE = {
    "en": "All human beings are born free and equal in dignity and rights. They are endowed with reason.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begabt.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos, dotados de razón, con los demás.",
    "it": "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti. Essi sono dotati di ragione.",
    "pt": "Todos os seres humanos nascem livres e iguais em dignidade e em direitos, uns para com os outros.",
    "nl": "Alle mensen worden vrij en gelijk in waardigheid en rechten geboren. Zij zijn begiftigd met verstand.",
    "pl": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i praw. Są oni obdarzeni, że tak jest.",
    "Cyrillic script": "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "Greek": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "Arabic script": "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق.",
    "Chinese": "人人生而自由，在尊严和权利上一律平等。",
    "Japanese": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "Korean": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "": "MasterCard 2000",
}


@pytest.mark.parametrize("language", ARTICLE)
def test_languages_are_told(language: str) -> None:
    assert [LANGUAGES[code] for code in languages(pa.chunked_array([[ARTICLE[language]]]))] == [language]


def test_rows_in_another_language_than_nearly_all() -> None:
    codes = languages(pa.chunked_array([[ARTICLE["en"]] * 60 + [ARTICLE["de"], ARTICLE[""], ARTICLE["Chinese"]]]))
    [hits] = language_mix_hits("input", codes)
    assert hits.rows.tolist() == [60, 62]
    assert hits.messages[0].startswith("input looks like German where nearly all rows are in English")


def test_a_dataset_of_two_languages_is_no_mix() -> None:
    codes = np.array([1] * 60 + [2] * 40, dtype=np.uint8)
    assert main_language(codes) == 0 and language_mix_hits("input", codes) == []
    assert language_mix_hits("input", codes[:0]) == []

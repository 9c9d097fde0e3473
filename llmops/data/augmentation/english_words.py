"""Short lists of English words that decide what may be changed and what must survive."""

# ruff: noqa: SIM905 (word lists read best as lines of words)

FUNCTION_WORDS = frozenset(
    """
    a an the this that these those such same other another each every either neither both all any some no none
    i me my mine myself you your yours yourself he him his himself she her hers herself it its itself we us our ours
    ourselves they them their theirs themselves one ones who whom whose which what where when why how whether
    somebody someone something anybody anyone anything nobody nothing everybody everyone everything
    be am is are was were been being do does did done doing have has had having get gets got gotten getting
    can could will would shall should may might must ought let lets need needs
    and or but nor so yet if then else than because since unless until while although though as
    of in on at by for with about against between into through during before after above below to from up down out
    off over under again further once per via within without across along around behind beside besides beyond near
    toward towards upon among amid despite except inside outside onto
    not never yes ok okay please thanks thank hello hi dear just only very too also even still already almost
    here there now today tomorrow yesterday tonight ago later soon often always sometimes usually
    more most less least much many little few fewer several enough lot lots own first last next else extra
    altogether instead however maybe perhaps possibly
    monday tuesday wednesday thursday friday saturday sunday january february march april may june july august
    september october november december
    """.split()
)
"""Words whose synonyms in a dictionary are hardly ever synonyms in a sentence."""

NUMBERS = {
    **{
        word: str(value)
        for value, word in enumerate(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
            "seventeen eighteen nineteen".split()
        )
    },
    **{
        word: str(10 * value)
        for value, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)
    },
    **{
        word: word
        for word in (
            "hundred hundreds thousand thousands million millions billion dozen dozens half halves third thirds "
            "quarter quarters double doubled triple tripled twice thrice once pair pairs couple first second seconds "
            "fourth fifth sixth seventh eighth ninth tenth percent"
        ).split()
    },
}
"""Words that say how many or which, with what they are compared as: 'two' counts as '2'."""

NEGATIONS = frozenset("no not never none nobody nothing neither nor without cannot".split())
"""Words that turn a statement round, besides every word that ends in n't."""

PARTICLES = frozenset(
    "about across after against around at away back by down for forward from in into of off on onto out over "
    "through to together toward towards under up upon with without that".split()
)
"""Words that belong to the verb or adjective before them: 'look for', 'top up', 'able to'."""

PRONOUNS = frozenset("i you he she we they it".split())
BE_AND_MODALS = frozenset("am is are was were can could will would should must".split())
AUXILIARIES = BE_AND_MODALS | frozenset("be been being do does did have has had may might shall ought".split())
BEFORE_VERBS = (PRONOUNS | AUXILIARIES | frozenset("to don't doesn't didn't can't won't please".split())) - frozenset(
    "it am is are was were be been being have has had".split()
)
"""Words after which a word that may be a noun or a verb is a verb."""

REQUESTS = frozenset("can could would will".split())

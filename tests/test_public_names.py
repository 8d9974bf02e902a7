"""What `import lrcore` offers: every rule and nothing that the package itself imports."""

import lrcore
from lrcore import rules


def test_dir_is_the_public_api():
    assert sorted(dir(lrcore)) == sorted({*lrcore.__all__, "__version__"})
    leaked = {"Any", "TYPE_CHECKING", "annotations", "import_module", "rules", "Rule"}
    assert not leaked & set(dir(lrcore))


def test_every_public_name_is_there():
    for name in lrcore.__all__:
        assert getattr(lrcore, name).__name__.rpartition(".")[2] == name
    assert len(lrcore.__all__) == len(set(lrcore.__all__))


def test_every_rule_is_public_and_registered():
    def descendants(cls):
        return {each for sub in cls.__subclasses__() for each in {sub} | descendants(sub)}

    ours = {each.__name__ for each in descendants(rules.Rule) if "lrcore" in each.__module__}
    assert ours == set(rules.RULES)
    assert ours <= set(lrcore.__all__)

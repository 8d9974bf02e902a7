"""Names in single backticks: links where the site documents them, code otherwise."""

from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode


def name_role(
    role: str, rawtext: str, text: str, lineno: int, inliner: Any, options: Any = None,
    content: Any = None,
) -> tuple[list[nodes.Node], list[nodes.system_message]]:  # fmt: skip
    """Make a reference to the Python object of this name, if there is one.

    After a ``~`` the last part of the name is shown, and there has to be such an object.
    """
    name = text.removeprefix("~")
    shown = name.rpartition(".")[2] if name != text else text
    env = inliner.document.settings.env
    reference = addnodes.pending_xref(
        rawtext,
        nodes.literal(rawtext, shown, classes=["py", "py-obj"]),
        refdomain="py",
        reftype="obj",
        reftarget=name.removesuffix("()"),
        refexplicit=False,
        may_be_none=name == text,
        **{"py:module": env.ref_context.get("py:module", "lrcore")},
        **{"py:class": env.ref_context.get("py:class")},
    )
    reference.line = lineno
    return [reference], []


def elsewhere(
    app: Sphinx, env: Any, node: addnodes.pending_xref, shown: nodes.TextElement
) -> nodes.Element | None:
    """Link to the only class or function of that name in any module, or return the name as code."""
    if not node.get("may_be_none"):
        return None
    found = {
        (entry.docname, entry.node_id)
        for name, entry in env.domains["py"].objects.items()
        if name.endswith("." + node["reftarget"])
        and entry.objtype in ("class", "exception", "function")
    }
    if len(found) != 1:
        return shown
    page, anchor = found.pop()
    return make_refnode(app.builder, node["refdoc"], page, anchor, shown)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.add_role("name", name_role)
    app.connect("missing-reference", elsewhere)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

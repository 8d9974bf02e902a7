"""Writes the parts of the compiled core that follow from the rules, the losses and the penalties.

    python lrcore/_core/generate.py

setup.py runs this before it compiles. The package cannot be imported then, since its core is not
built yet, so the classes are read from their source: literal class attributes, the fields of
dataclasses, the names of methods. What is written, into the folder ``generated``, are structs,
lists of types, functions that choose among the types, and the lines that register them.

The element formulas themselves are written by hand in ``rules.pxd``, ``losses.pxd`` and
``penalties.pxd``: `AdamFormula_update` there is the twin of the method `AdamFormula.update`. Where
one is missing, or does not fit its class, the build ends with a sentence that says which.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: The folder that holds the package.
ROOT = Path(__file__).resolve().parents[2]

#: The element formulas, written by hand.
RULES = "lrcore/_core/rules.pxd"
LOSSES = "lrcore/_core/losses.pxd"
PENALTIES = "lrcore/_core/penalties.pxd"

HEAD = "# Written by generate.py from the classes in Python; changes made here are lost.\n"

#: What a function does for one class.
Branch = Callable[["Definition"], str]
#: The names of the fused types, each with its members.
Kinds = dict[str, list["Definition"]]


class MissingPieceError(Exception):
    """Something is missing, or two pieces do not fit; the message is for whoever added one."""


def require(condition: bool, message: str) -> None:
    """Stop the build with this message unless the condition holds."""
    if not condition:
        raise MissingPieceError(message)


# ---- reading the classes -------------------------------------------------------------------------


class Definition:
    """A class as its source has it, with what it inherits of other classes that were read."""

    def __init__(self, node: ast.ClassDef, file: str, base: Definition | None) -> None:
        self.name, self.file, self.base = node.name, file, base
        self.values: dict[str, ast.expr] = {}
        self.fields: tuple[str, ...] = base.fields if base else ()
        self.methods: dict[str, ast.FunctionDef] = {}
        for line in node.body:
            if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
                self.values[line.targets[0].id] = line.value
            elif isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                if "ClassVar" not in ast.unparse(line.annotation):
                    self.fields += (line.target.id,)
                if line.value is not None:
                    self.values[line.target.id] = line.value
            elif isinstance(line, ast.FunctionDef):
                self.methods[line.name] = line

    def __str__(self) -> str:
        return f"{self.name} ({self.file})"

    def value(self, name: str) -> Any:
        """The class attribute of this name, its own or inherited."""
        if name not in self.values:
            if self.base is None:
                raise MissingPieceError(f"{self} has no {name}.")
            return self.base.value(name)
        try:
            return ast.literal_eval(self.values[name])
        except ValueError:
            raise MissingPieceError(
                f"{self} has {name} = {ast.unparse(self.values[name])}, which the build cannot "
                "evaluate without importing the package: write the value out."
            ) from None

    def method(self, name: str) -> ast.FunctionDef | None:
        """The method of this name, its own or inherited; None where only the root class has it."""
        if self.base is None:
            return None
        return self.methods.get(name) or self.base.method(name)

    def parameters(self, name: str) -> list[str]:
        """The names of the method's parameters."""
        method = self.method(name)
        return [] if method is None else [each.arg for each in method.args.args]


def definitions(files: list[Path], root: str, method: str) -> list[Definition]:
    """The classes derived from `root` that have this method, in order of their files.

    A class that is derived from another one comes after it, in the same file.
    """
    found: dict[str, Definition] = {}
    for path in files:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                names = [base.id for base in node.bases if isinstance(base, ast.Name)]
                base = next((found[name] for name in names if name in found), None)
                if base is not None or node.name == root:
                    file = path.relative_to(ROOT).as_posix()
                    found[node.name] = Definition(node, file, base)
    return [each for each in found.values() if each.method(method)]


def base_first(path: Path) -> tuple[bool, str]:
    """A key that sorts the file with the base class before those that derive from it."""
    return path.name != "formula.py", path.name


def functions(text: str) -> dict[str, list[str]]:
    """The functions of a .pxd file, with the names of their parameters."""
    pattern = r"(?m)^cdef inline \w+ (\w+)\(([^)]*)\)"
    return {
        name: [re.findall(r"\w+", each)[-1] for each in parameters.split(",") if each.strip()]
        for name, parameters in re.findall(pattern, text)
    }


# ---- checking that all pieces are there ----------------------------------------------------------


def check_twins(
    classes: list[Definition], methods: tuple[str, ...], file: str
) -> dict[str, list[str]]:
    """Check that the file has a function for each of these methods, and no other; return them."""
    there = functions((ROOT / file).read_text(encoding="utf-8"))
    expected = {
        f"{each.name}_{name}": each for each in classes for name in methods if each.method(name)
    }
    for name, each in expected.items():
        require(
            name in there,
            f"{each} has no twin in the compiled core: write the function {name} in {file}.",
        )
    for name in there:
        require(
            not name.endswith(tuple(f"_{method}" for method in methods)) or name in expected,
            f"{file} has the function {name}, but no class has the method "
            f"{name.replace('_', '.')}: write that, or remove the function.",
        )
    return there


def check_columns(formula: Definition) -> None:
    """Check that what a formula says of its columns and states names some that it has."""
    columns, state, slow = (formula.value(name) for name in ("columns", "state", "slow"))
    for name in (*formula.value("rate_columns"), formula.value("decay"), formula.value("gain")):
        require(
            name is None or name in columns,
            f"{formula} names the column {name!r}; its columns are {columns}.",
        )
    require(slow is None or slow in state, f"{formula} has slow = {slow!r}; its state is {state}.")
    few = slow is not None or formula.value("eight_bits")
    require(
        len(state) <= (2 if few else 3),
        f"{formula} has {len(state)} states and slow = {slow!r}; the core has room for three "
        "states, and for two as bfloat16 or in 8 bits.",
    )


def check_formula(formula: Definition, there: dict[str, list[str]]) -> None:
    """Check that a formula agrees with itself, and its functions in the core with it."""
    check_columns(formula)
    for method, first in (("update", ("c", "w", "g")), ("preconditioner", ("c",))):
        if formula.method(method):
            wanted, state = formula.parameters(method), formula.value("state")
            require(
                len(wanted) == len(first) + len(state),
                f"{formula} has state = {state}, but its method {method} takes "
                f"({', '.join(wanted)}).",
            )
            own = there[f"{formula.name}_{method}"]
            require(
                own == wanted,
                f"{formula.name}_{method} in {RULES} takes ({', '.join(own)}), and its twin in "
                f"{formula.file} takes ({', '.join(wanted)}): give both the same parameters.",
            )


def check_numbers(each: Definition, most: int) -> None:
    """Check that the core can hand a loss or a penalty its numbers."""
    require(
        len(each.fields) <= most,
        f"{each} has the fields {', '.join(each.fields)}; the core hands it {most} at most.",
    )


# ---- writing -------------------------------------------------------------------------------------


def struct(name: str, fields: tuple[str, ...]) -> str:
    """A C struct of doubles; C has none without a field."""
    lines = "".join(f"    double {each}\n" for each in fields or ("unused",))
    return f"cdef struct {name}:\n{lines}\n"


def fused(kinds: Kinds) -> str:
    """The lists of types that functions of them are compiled for."""
    text = ""
    for name, members in kinds.items():
        lines = "".join(f"    {each.name}\n" for each in members)
        text += f"ctypedef fused {name}:\n{lines}\n"
    return text


def choice(kinds: Kinds, head: str, comment: str, branch: Branch) -> str:
    """A function that does something else for each type, chosen when it is compiled.

    Its first parameter is of one of the kinds. `branch` gives the statements of a type; types with
    the same ones share a branch, and the largest group comes last, under ``else``.
    """
    kind = next(name for name in kinds if f"({name} " in head or f"({name}* " in head)
    groups: dict[str, list[str]] = {}
    for each in kinds[kind]:
        groups.setdefault(branch(each), []).append(f"{kind} is {each.name}")
    name, parameters = head.rstrip(")").split("(")
    if len(head) > 80:
        head = f"{name}(\n    {parameters}\n)"
    text, word = f'cdef inline {head} noexcept nogil:\n    """{comment}"""\n', "if"
    ordered = sorted(groups.items(), key=lambda item: len(item[1]))
    for statements, tests in ordered:
        condition = tests[0]
        if len(tests) > 1:
            condition = "(\n        " + "\n        or ".join(tests) + "\n    )"
        last = word == "elif" and len(tests) > 1 and statements == ordered[-1][0]
        text += "    else:\n" if last else f"    {word} {condition}:\n"
        text += "".join(f"        {line}\n" for line in statements.splitlines())
        word = "elif"
    return f"{text}\n\n"


def rule_kinds(formulas: list[Definition]) -> Kinds:
    """The formulas by which linear models can step, all, and those whose states can be bfloat16, or
    have 8 bits."""
    return {
        "Rule": [each for each in formulas if each.value("linear")],
        "AnyRule": formulas,
        "Bfloat16Rule": [each for each in formulas if each.value("slow")],
        "EightBitRule": [each for each in formulas if each.value("eight_bits")],
    }


def rule_types(formulas: list[Definition]) -> str:
    """The structs of coefficients and the lists of formulas."""
    structs = "".join(struct(each.name, each.value("columns")) for each in formulas)
    count = f"cdef enum:\n    N_RULES = {len(formulas)}\n\n"
    return count + structs + fused(rule_kinds(formulas))


def arguments(formula: Definition, *first: str) -> str:
    """These arguments, and as many states as the formula has."""
    return ", ".join((*first, *"abc"[: len(formula.value("state"))]))


def preconditioner(formula: Definition) -> str:
    """The call of the formula's preconditioner."""
    if not formula.method("preconditioner"):
        return "return 1"
    return f"return {formula.name}_preconditioner({arguments(formula, 'r')})"


def shrink_states(formula: Definition) -> str:
    """The decay of all states of the formula, if it has one."""
    own = "abc"[: len(formula.value("state"))] if formula.value("decay") else ""
    return "".join(f"{name}[0] = power * {name}[0]\n" for name in own) or "pass"


def with_lr_factor(formula: Definition) -> str:
    """The multiplication of the columns that are proportional to the rate."""
    lines = (f"r.{name} = r.{name} * factor\n" for name in formula.value("rate_columns"))
    return "".join(lines) + "return r"


def signs(formula: Definition) -> int:
    """A bit for each state, 1 where it can be negative, by its name."""
    named = [not re.search("square|variance|max", each) for each in formula.value("state")]
    return sum(bit << i for i, bit in enumerate(named))


def rule_dispatch(formulas: list[Definition]) -> str:
    """The functions that choose among the formulas."""
    table: tuple[tuple[str, str, Branch], ...] = (
        (
            "void update(AnyRule r, real* w, real g, real* a, real* b, real* c)",
            "One step of a parameter w with the gradient g, and the states that there are.",
            lambda each: f"{each.name}_update({arguments(each, 'r', 'w', 'g')})",
        ),
        (
            "real preconditioner(Rule r, real a, real b, real c)",
            "What the formula divides a gradient by; penalties are applied in the same metric.",
            preconditioner,
        ),
        (
            "double gain(Rule r)",
            "The long-run length of a step per unit of rate and of preconditioned gradient.",
            lambda each: f"return r.{each.value('gain')}" if each.value("gain") else "return 1",
        ),
        (
            "Rule with_lr_factor(Rule r, double factor)",
            "The coefficients with the rate times a factor.",
            with_lr_factor,
        ),
        (
            "bint has_block_rates(Rule* r)",
            "Whether the rate of each block of rows can be multiplied by a factor of its own.",
            lambda each: f"return {each.value('block_rates')}",
        ),
        (
            "int n_states(AnyRule* r)",
            "How many states the formula keeps.",
            lambda each: f"return {len(each.value('state'))}",
        ),
        (
            "bint decays(Rule* r)",
            "Whether states shrink, and weights stay, in a step whose gradient is 0.",
            lambda each: f"return {each.value('decay') is not None}",
        ),
        (
            "void shrink_states(Rule* r, real power, real* a, real* b, real* c)",
            "The states after steps whose gradients are 0; power is the product of their decays.",
            shrink_states,
        ),
        (
            "int slow_state(Bfloat16Rule* r)",
            "Which state is rounded stochastically.",
            lambda each: f"return {each.value('state').index(each.value('slow'))}",
        ),
        (
            "bint has_sign(EightBitRule* r, int state)",
            "Whether this state can be negative.",
            lambda each: f"return {signs(each)} >> state & 1",
        ),
    )
    return "".join(choice(rule_kinds(formulas), *line) for line in table)


def loss_kinds(losses: list[Definition]) -> Kinds:
    """The losses of one raw prediction of a row, and those of all outputs of a row together."""
    return {
        "Loss": [each for each in losses if not each.value("joint")],
        "JointLoss": [each for each in losses if each.value("joint")],
    }


def loss_types(losses: list[Definition]) -> str:
    """The structs of the losses' numbers and the lists of losses."""
    structs = "".join(struct(each.name, each.fields) for each in losses)
    return f"cdef enum:\n    N_LOSSES = {len(losses)}\n\n" + structs + fused(loss_kinds(losses))


def loss_dispatch(losses: list[Definition]) -> str:
    """The functions that choose among the losses."""
    return choice(
        loss_kinds(losses),
        "void evaluate(Loss* loss, double z, double y, double* value, double* gradient)",
        "The loss of one row, and its derivative with respect to the raw prediction z.",
        lambda each: f"{each.name}_evaluate(loss, z, y, value, gradient)",
    ) + choice(
        loss_kinds(losses),
        "void evaluate_joint(JointLoss* loss, const double* z, Py_ssize_t label, double* value, "
        "double* gradient)",
        "The loss of one row, and its derivatives with respect to the raw predictions z.",
        lambda each: f"{each.name}_evaluate(loss, z, label, value, gradient)",
    )


def penalty_types(penalties: list[Definition]) -> str:
    """The structs of the penalties' numbers and the list of penalties."""
    structs = "".join(struct(each.name, each.fields) for each in penalties)
    numbers = max(1, *(len(each.fields) for each in penalties))
    count = f"cdef enum:\n    N_PENALTIES = {len(penalties)}\n    PENALTY_NUMBERS = {numbers}\n\n"
    return count + structs + fused({"Penalty": penalties})


def penalty_dispatch(penalties: list[Definition]) -> str:
    """The function that chooses among the penalties."""
    return choice(
        {"Penalty": penalties},
        "real prox(Penalty penalty, real w, real step, real preconditioner)",
        "The v that minimises step * penalty(v) + preconditioner * (v - w)**2 / 2.",
        lambda each: f"return {each.name}_prox(penalty, w, step, preconditioner)",
    )


def registrations(
    formulas: list[Definition], losses: list[Definition], penalties: list[Definition]
) -> str:
    """The lines that fill the tables of kernels when the core is imported."""
    lines = []
    for each in formulas:
        register = "register_rule" if each.value("linear") else "register_steps"
        lines.append(f'{register}(<{each.name}*>NULL, "{each.name}")\n')
    for each in losses:
        register = "register_joint_loss" if each.value("joint") else "register_loss"
        lines.append(f'{register}(<{each.name}*>NULL, "{each.name}")\n')
    lines += [f'register_penalty(<{each.name}*>NULL, "{each.name}")\n' for each in penalties]
    return "".join(lines)


def generated() -> dict[str, str]:
    """The files by name, after all checks."""
    formulas = definitions(
        sorted(ROOT.glob("lrcore/rules/*.py"), key=base_first), "Formula", "update"
    )
    losses = definitions([ROOT / "lrcore/losses.py"], "Loss", "evaluate")
    penalties = definitions([ROOT / "lrcore/penalties.py"], "Penalty", "prox")
    there = check_twins(formulas, ("update", "preconditioner"), RULES)
    for formula in formulas:
        check_formula(formula, there)
    check_twins(losses, ("evaluate",), LOSSES)
    for loss in losses:
        check_numbers(loss, 1)
        require(
            loss.fields == ("n_outputs",) or not loss.value("joint"),
            f"{loss} is joint: its one field must be n_outputs.",
        )
    for penalty in penalties:
        check_numbers(penalty, 4)
    check_twins(penalties, ("prox",), PENALTIES)
    return {
        "rule_types.pxi": rule_types(formulas),
        "rule_dispatch.pxi": rule_dispatch(formulas),
        "loss_types.pxi": loss_types(losses),
        "loss_dispatch.pxi": loss_dispatch(losses),
        "penalty_types.pxi": penalty_types(penalties),
        "penalty_dispatch.pxi": penalty_dispatch(penalties),
        "registrations.pxi": registrations(formulas, losses, penalties),
    }


def main() -> int:
    """Write what has changed, so that only that is compiled again."""
    try:
        files = generated()
    except MissingPieceError as error:
        print(f"lrcore cannot be built: {error}", file=sys.stderr)
        return 1
    folder = ROOT / "lrcore/_core/generated"
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        text = f"{HEAD}{text.rstrip()}\n"
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

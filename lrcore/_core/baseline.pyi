def registry() -> int: ...

RULES: dict[str, tuple[int, int, int]]
LOSSES: dict[str, int]
PENALTIES: dict[str, int]

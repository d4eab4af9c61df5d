"""The part of a notebook that its exercises stand on.

Every cell of a lesson is run by ``pytest --nbval``, in both languages. Solutions need only the
cells that make what they use: those that set, or may change, a name that a later cell needs.
"""

import ast

import nbformat


def keep_needed(notebook: nbformat.NotebookNode) -> None:
    """Drop the cells that no exercise, and nothing that uses an answer, depends on.

    Usage: ``keep_needed(build.make(source, "zh", "solved").notebook)``

    In doubt a cell is kept: a method call or an item set may change its object, and a cell that
    is no plain Python may do anything. Not covered: files and settings that one cell leaves to
    another without a name; a lesson that does so fails its solutions.
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    names = [_Names(cell.source) for cell in code]
    imported = {name for found in names for name in found.imported}
    answers = {name for cell, found in zip(code, names, strict=True)
               if "nbgrader" in cell.metadata for name in found.stored}  # fmt: skip
    needed: set[str] = set()
    kept = []
    for at in reversed(range(len(code))):
        found = names[at]
        asked = at == 0 or "nbgrader" in code[at].metadata or bool(found.loaded & answers)
        touched = found.stored | found.set | (found.called - imported)
        if asked or found.opaque or touched & needed:
            kept.append(code[at])
            needed = needed - found.replaced | found.loaded
    notebook.cells = kept[::-1]


class _Names(ast.NodeVisitor):
    """What a cell does with names. set: those an item or attribute of which is set; called: those
    with a method that is called; replaced: those that are given a wholly new value."""

    def __init__(self, source: str) -> None:
        self.stored: set[str] = set()
        self.loaded: set[str] = set()
        self.set: set[str] = set()
        self.called: set[str] = set()
        self.imported: set[str] = set()
        self.replaced: set[str] = set()
        try:
            tree = ast.parse(source)
        except SyntaxError:  # a magic command
            self.opaque = True
            return
        self.opaque = False
        for line in tree.body:
            before = set(self.loaded)
            self.visit(line)
            if isinstance(line, ast.Assign | ast.Import | ast.ImportFrom | ast.FunctionDef):
                self.replaced |= self._stored_by(line) - before

    def _stored_by(self, line: ast.stmt) -> set[str]:
        if isinstance(line, ast.FunctionDef):
            return {line.name}
        if isinstance(line, ast.Import | ast.ImportFrom):
            return {(alias.asname or alias.name).partition(".")[0] for alias in line.names}
        targets = line.targets if isinstance(line, ast.Assign) else []
        return {target.id for target in targets if isinstance(target, ast.Name)}

    def visit_Name(self, node: ast.Name) -> None:
        (self.loaded if isinstance(node.ctx, ast.Load) else self.stored).add(node.id)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        names = self._stored_by(node)
        self.stored |= names
        self.imported |= names

    visit_ImportFrom = visit_Import

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.ClassDef) -> None:
        self.stored.add(node.name)
        self.generic_visit(node)

    visit_ClassDef = visit_FunctionDef

    def visit_Attribute(self, node: ast.Attribute | ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.set |= _base(node)
        self.generic_visit(node)

    visit_Subscript = visit_Attribute

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute):
            self.called |= _base(node.func)
        self.generic_visit(node)


def _base(node: ast.expr) -> set[str]:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()

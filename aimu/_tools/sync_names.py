"""Which sync name stands for which async one, and what becomes of a type.

Owns the tables of what is not the same rule for all: additions to them are decisions about the sync surface.
"""

from __future__ import annotations

import ast

# The module of each twin, with the package that users import it from.
HOMES = {
    "runner": ("aimu.agents", "AsyncRunner StepRunner"),
    "stream": ("aimu", "Stream"),
    "client": ("aimu", "AsyncBaseModelClient AsyncModelClient client chat"),
    "agents": ("aimu.agents", "Agent SkillAgent OrchestratorAgent"),
    "workflows": ("aimu.agents", "Chain Router Parallel EvaluatorOptimizer PlanExecuteEvaluator"),
    "amap": ("aimu.agents", "amap Results"),
    "mcp": ("aimu.tools", "MCPClient"),
}
# Exported by no package.
INTERNAL = {"StepRunner", "Results"}
RENAMED = {"StepRunner": "TwinRunner"}
# Holds no async object: users write subclasses of it.
ABSTRACT = {"AsyncRunner"}
SPECIAL = {"aclose": "close", "__aenter__": "__enter__", "__aexit__": "__exit__"}
# Called by subclasses that users write.
PROTECTED = {"_init_orchestrator"}
# Bases written by hand, beside those that are twins.
BASES = {
    "AsyncRunner": "AdaptedRunner",
    "AsyncBaseModelClient": "AdaptedClient",
    "StepRunner": "Facade",
    "OrchestratorAgent": "Orchestrating",
    "Stream": "StreamReader",
    "Results": "Reader[tuple[int, R_co]]",
}
# What a twin holds in the place of its async class.
HELD = {"AsyncModelClient": "OwningClient"}
# What any thread may call in the place of `__aenter__`, whose task group would belong to one call.
ENTERED = {"MCPClient": "_hold_in_thread"}
# Functions that do here what they do there, with the names of the twins: `client` makes a twin that may load weights.
COPIED = {"client", "chat"}
# Bodies that no rule gives.
BODIES = {
    "Agent.as_model_client": "return client_of(self)",  # of the class that its client has here
    "Stream.text_stream": "return self._texts()",  # read on the loop of the stream
    "AsyncBaseModelClient.aclose": "bridge.run(self.provider.let_go(self.__aio__, repr(self)))",  # errors name this one
}

TWINS = {
    name: (RENAMED.get(name) or name.removeprefix("Async"), module)
    for module, (_, names) in HOMES.items()
    for name in names.split()
}
HANDWRITTEN = {
    **dict.fromkeys(["AdaptedRunner", "AdaptedClient", "Orchestrating", "client_of", "factory_of"], "aimu._sync.own"),
    **dict.fromkeys(["Reader", "StreamReader", "perform"], "aimu._sync.reader"),
    **dict.fromkeys(["FACTORY", "Facade", "aio_of", "field_of", "sync_of", "twin_of"], "aimu._sync.twin"),
    "bridge": "aimu._sync",
    "public": "aimu._doors",
    "TracebackType": "types",
}


# Kinds of the async surface that are another kind on the sync one.
KINDS = {"AsyncIterator": "Iterator", "AsyncIterable": "Iterable", "AsyncGenerator": "Generator"}


def async_name(name: str) -> str:
    """What a generated module calls an async class or function."""
    if name.islower():
        return f"async_{name}"
    return name if TWINS[name][0] != name else f"Async{name}"


def mentions_twin(node: ast.expr) -> bool:
    """Whether a type names a class that has a twin."""
    return any(isinstance(item, ast.Name) and item.id in TWINS for item in ast.walk(node))


def into_async(name: str, annotation: ast.expr | None) -> str:
    """The expression that gives async code what it takes for the sync value `name`."""
    if annotation is None or not mentions_twin(annotation):
        return name
    made = [item for item in ast.walk(annotation) if isinstance(item, ast.Subscript)]
    calls = any(ast.unparse(item.value) == "Callable" and mentions_twin(item.slice) for item in made)
    return f"factory_of({name})" if calls else f"aio_of({name})"


def in_sync(node: ast.expr) -> ast.expr:
    """A type or an expression in sync names; of what is awaited, the result."""
    visited = _InSync().visit(ast.parse(ast.unparse(node), mode="eval").body)
    assert isinstance(visited, ast.expr)
    return visited


class _InSync(ast.NodeTransformer):
    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Name(TWINS[node.id][0] if node.id in TWINS else KINDS.get(node.id, node.id))

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        kind = ast.unparse(node.value)
        if kind == "Awaitable":
            return in_sync(node.slice)
        if kind == "Coroutine" and isinstance(node.slice, ast.Tuple):
            return in_sync(node.slice.elts[2])
        return self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        sides = (ast.unparse(in_sync(side)) for side in (node.left, node.right))
        alternatives = dict.fromkeys(" | ".join(sides).split(" | "))
        return ast.parse(" | ".join(alternatives), mode="eval").body


class InnerTwins(ast.NodeTransformer):
    """Turns twins that are made in the argument of a call of async code into what that takes."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        made = {here for here, _ in TWINS.values()}
        node.args = [
            ast.Call(ast.Name("aio_of"), [item], [])
            if isinstance(item, ast.Call) and ast.unparse(item.func) in made
            else self.visit(item)
            for item in node.args
        ]
        return node

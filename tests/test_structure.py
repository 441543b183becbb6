"""The structure of the package: who may import whom, what no source may contain, and that nothing shadows a library."""

import ast
import functools
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "hfft"
LONGEST = 350
PARTS = ("backbone", "head", "layers", "strategy", "data")
# From the ground up: a module imports from its own rank and the ranks before it.
RANKS = (
    ("errors", "wording", "lazy", "spec", "eval_mode"),
    (
        "tasks",
        "modeling",
        "modeling_rnn",
        "modeling_inputs",
        "modeling_tasks",
        "feature_extraction_series",
        "hub",
        "console",
        "processes",
        "runs.signals",
        "runs.lock",
        "runs.checkpoint",
    ),
    (  # the specs, what they are checked by, and their sum; without torch
        "backbone.spec",
        "backbone.edit.spec",
        "classifier.spec",
        "head.spec",
        "layers.spec",
        "layers.adapters.arguments",
        "strategy",
        "data.render_spec",
        "data.rows_spec",
        "data.spec",
        "data.augment",
        "frozen_cache.spec",
        "frozen_cache.folder",
        "evaluate.spec",
        "publish.spec",
        "report.spec",
        "recipe",
    ),
    ("data.image_processor", "acquisition", "classifier", "features.views"),
    ("runs",),
    tuple(part for part in PARTS if part != "strategy"),
    (
        "backbone.edit",
        "frozen_cache",
        "layers.last_block",
        "direct",
    ),  # find blocks as the layers do; trace as the cache does
    ("train",),
    ("evaluate",),
    ("report", "publish", "predict"),
    ("features",),
    ("scorecard",),
    ("pipeline",),
    ("plan", "rank", "studies", "scenarios", "compare"),
    ("", "commands", "cli", "run", "nano", "flower"),  # "" is the face of the package
)


def module_of(path: Path, root: Path) -> str:
    """The dotted name of a source file."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def sources(root: Path = ROOT) -> dict[str, ast.Module]:
    """Module -> syntax tree, of the package `hfft` below a folder."""
    files = sorted((root / "hfft").rglob("*.py"))
    return {module_of(path, root): ast.parse(path.read_text(encoding="utf-8"), str(path)) for path in files}


def running(node: ast.AST) -> list[ast.AST]:
    """Every node below one that can run: blocks for type checkers are left out."""
    found = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            found += [inner for other in child.orelse for inner in [other, *running(other)]]
        else:
            found += [child, *running(child)]
    return found


def imports(module: str, tree: ast.Module, modules: set[str], face: bool) -> set[str]:
    """The modules of hfft that a module imports, anywhere in it and by name as well (`import_module("hfft.x")`)."""
    found: set[str] = set()
    for node in running(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".") if face else module.split(".")[:-1]
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                found.add(f"{source}.{alias.name}" if f"{source}.{alias.name}" in modules else source)
        elif isinstance(node, ast.Constant) and str(node.value).startswith("hfft."):
            found.add(str(node.value))
    return (found & modules) - {module}


@functools.cache
def graph(root: Path = ROOT) -> dict[str, set[str]]:
    """Module -> the modules of hfft that it imports."""
    trees = sources(root)
    faces = {module for module in trees if (root.joinpath(*module.split(".")) / "__init__.py").is_file()}
    return {module: imports(module, tree, set(trees), module in faces) for module, tree in trees.items()}


UNITS = {unit: height for height, units in enumerate(RANKS) for unit in units}


def unit(module: str) -> str:
    """The entry of RANKS that a module belongs to, the longest that its name begins with."""
    name = module.removeprefix("hfft").removeprefix(".")
    whole = name
    while name and name not in UNITS:
        name = name.rpartition(".")[0]
    return name or whole.partition(".")[0]


def rank(module: str) -> int:
    """How high a module stands; on top of all where RANKS does not know it."""
    return UNITS.get(unit(module), len(RANKS))


def wrong_imports(edges: dict[str, set[str]]) -> list[str]:
    """What the ranks forbid: imports upward, and of what is inside another part."""
    found = []
    for module, imported in edges.items():
        for other in sorted(imported):
            if rank(other) > rank(module):
                found.append(f"{module} imports {other}, which stands above it")
            elif (
                unit(module) in PARTS and unit(other) in PARTS and unit(module) != unit(other) and other.count(".") > 1
            ):
                found.append(f"{module} imports {other}, the inside of another part")
    return found


def circle(edges: dict[str, set[str]]) -> list[str]:
    """The modules of a circular import, in order, or nothing."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def written(root: Path, files: dict[str, str]) -> Path:
    """A package `hfft` of the given files."""
    for name in {"__init__.py", *(f"{part}/__init__.py" for part in PARTS), *files}:
        (root / "hfft" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "hfft" / name).write_text(files.get(name, ""))
    return root


def test_every_module_has_a_rank():
    assert [module for module in graph() if unit(module) not in UNITS] == []


def test_nothing_imports_upward_or_the_inside_of_another_part():
    edges = graph()
    assert sum(map(len, edges.values())) > 50
    assert wrong_imports(edges) == []


def test_no_import_is_circular():
    assert circle(graph()) == []


@pytest.mark.parametrize(
    ("file", "text", "other"),
    [
        ("errors.py", "from hfft.recipe import Recipe", "recipe"),
        ("errors.py", "import hfft.recipe", "recipe"),
        ("recipe.py", "def f():\n    from hfft import head", "head"),
        ("recipe.py", "from hfft.data.load import x", "data.load"),
        ("spec.py", "from .recipe import x", "recipe"),
        ("data/load.py", "from . import augment\nfrom ..pipeline import finetune", "pipeline.finetune"),
        ("head/find.py", "try:\n    import hfft.train.trainer\nexcept ImportError:\n    pass", "train.trainer"),
        (
            "head/find.py",
            "from importlib import import_module\nimport_module('hfft.pipeline.finetune')",
            "pipeline.finetune",
        ),
        ("train/trainer.py", "from hfft.evaluate import x", "evaluate"),
        ("pipeline/finetune.py", "from hfft import x", ""),
        ("layers/depth.py", "from hfft.head.find import x", "head.find"),
        ("layers/depth.py", "from hfft.head import find", "head.find"),
        ("data/inputs.py", "import hfft.strategy.losses as x", "strategy.losses"),
        ("head/find.py", "if TYPE_CHECKING:\n    pass\nelse:\n    import hfft.pipeline.finetune", "pipeline.finetune"),
    ],
)
def test_an_import_that_is_not_allowed_is_found(tmp_path, file, text, other):
    others = ["errors", "recipe", "pipeline/finetune", "head/find", "data/load", "data/augment", "strategy/losses"]
    empty = {f"{name}.py": "" for name in [*others, "train/__init__", "train/trainer", "evaluate/__init__"]}
    edges = graph(written(tmp_path, {**empty, file: text}))
    module = "hfft." + file.removesuffix(".py").replace("/", ".")
    (said,) = wrong_imports(edges)
    assert said.startswith(f"{module} imports {'.'.join(filter(None, ['hfft', other]))}, ")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("recipe.py", "from hfft.data import augment\nfrom hfft import errors"),
        ("layers/depth.py", "from hfft import head\nfrom hfft.head import x\nimport hfft.recipe"),
        ("data/load.py", "from hfft.data.augment import x\nfrom . import augment"),
        ("train/__init__.py", "from hfft.head.find import x\nfrom hfft.recipe import y"),
        ("head/find.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from hfft.train import x"),
        ("errors.py", "import hfftools\nx = 'hfft is the name'"),
    ],
)
def test_an_import_that_is_allowed_is_not_found(tmp_path, file, text):
    empty = {f"{name}.py": "" for name in ["errors", "recipe", "head/find", "data/augment", "train/__init__"]}
    edges = graph(written(tmp_path, {**empty, file: text}))
    assert wrong_imports(edges) == []
    assert circle(edges) == []


def test_a_circular_import_is_found(tmp_path):
    files = {"errors.py": "from hfft import tasks", "tasks.py": "def f():\n    from hfft.errors import x"}
    assert set(circle(graph(written(tmp_path, files)))) == {"hfft.errors", "hfft.tasks"}


def test_no_file_is_too_long():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert len(lengths) > 300
    long = {str(path.relative_to(ROOT)): length for path, length in lengths.items() if length > LONGEST}
    assert long == {}, f"a file above {LONGEST} lines is two files"


def dotted(node: ast.expr) -> str:
    """What is called by name, `a` or `a.b.c`; empty for what an expression gives."""
    if isinstance(node, ast.Attribute):
        return f"{inner}.{node.attr}" if (inner := dotted(node.value)) else ""
    return node.id if isinstance(node, ast.Name) else ""


def unsafe(tree: ast.Module) -> list[str]:
    """Calls and imports that run or load what others wrote."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [name for name in names if name.partition(".")[0] in _UNSAFE_MODULES]
        elif isinstance(node, ast.Call):
            called = dotted(node.func)
            given = {f"{word.arg}={ast.unparse(word.value)}" for word in node.keywords if word.arg in _UNSAFE_WORDS}
            unpickles = called == "torch.load" and "weights_only=True" not in given
            if unpickles or called in _UNSAFE_CALLS or given & {"allow_pickle=True", "trust_remote_code=True"}:
                found.append(called)
    return found


_UNSAFE_WORDS = {"weights_only", "allow_pickle", "trust_remote_code"}
_UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
_UNSAFE_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "yaml.load",
    "yaml.load_all",
    "yaml.unsafe_load",
    "yaml.full_load",
}
_UNSAFE_CALLS |= {"evaluate.load", "os.system", "torch.hub.load", "torch.jit.load"}


def test_no_source_loads_pickles_or_runs_texts():
    assert {module: found for module, tree in sources().items() if (found := unsafe(tree))} == {}


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "def f():\n    from pickle import loads",
        "eval('1')",
        "exec(text)",
        "yaml.load(text, Loader=yaml.SafeLoader)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=flag)",
        "evaluate.load('accuracy')",
        "np.load(path, allow_pickle=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "os.system('ls')",
    ],
)
def test_unsafe_source_is_found(text):
    assert len(unsafe(ast.parse(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "model.eval()",
        "yaml.safe_load(text)",
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=False)",
        "re.compile('x')",
        "# pickle, eval(x), exec(x)\nx = 'pickle'",
        "import evaluate",
    ],
)
def test_safe_source_is_not_found(text):
    assert unsafe(ast.parse(text)) == []


def undocumented(tree: ast.Module, module: str) -> list[str]:
    """The module, public classes, functions and methods that have no docstring."""
    found = [] if ast.get_docstring(tree) else [module]

    def visit(node: ast.AST, path: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                if not child.name.startswith("_"):
                    if not ast.get_docstring(child):
                        found.append(f"{path}.{child.name}")
                    if isinstance(child, ast.ClassDef):
                        visit(child, f"{path}.{child.name}")
            elif isinstance(child, ast.If | ast.Try):
                visit(child, path)

    visit(tree, module)
    return found


def test_everything_public_has_a_docstring():
    assert [name for module, tree in sources().items() for name in undocumented(tree, module)] == []


def test_a_missing_docstring_is_found():
    text = (
        '"""M."""\nclass A:\n def f(self):\n  def g(): pass\n def _h(self): pass\ndef k():\n """K."""\nclass _B: pass'
    )
    assert undocumented(ast.parse(text), "m") == ["m.A", "m.A.f"]
    assert undocumented(ast.parse("x = 1"), "m") == ["m"]


def needed() -> set[str]:
    """The distributions that hfft needs, with what these need in turn."""
    found, waiting = set(), ["hfft"]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name not in found:
            try:
                wanted = importlib.metadata.requires(name) or []
            except importlib.metadata.PackageNotFoundError:
                continue
            found.add(name)
            waiting += [re.split(r"[^\w.-]", one)[0] for one in wanted if "extra ==" not in one]
    return found - {"hfft"}


def test_no_module_has_the_name_of_a_library():
    ours = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    distributions = needed()
    assert {"torch", "transformers", "pyyaml"} <= distributions
    theirs = {
        name
        for name, sources in importlib.metadata.packages_distributions().items()
        if distributions & {re.sub(r"[-_.]+", "-", source).lower() for source in sources}
    }
    assert {"torch", "transformers", "yaml"} <= theirs
    apart = {"evaluate"}  # the part of ours and the library of that name: run.py takes its own folder off the path
    assert (ours - apart) & (theirs | sys.stdlib_module_names) == set()


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A Python process and what it says."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=cwd, env=env, timeout=60)


def test_run_py_starts_by_its_path_from_anywhere(tmp_path):
    for script, cwd in (("hfft/run.py", ROOT), (str(PACKAGE / "run.py"), tmp_path)):
        done = python(script, "--help", cwd=cwd)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("usage: run.py")


def test_run_py_refuses_a_recipe_in_one_line_with_status_2(tmp_path):
    done = python(str(PACKAGE / "run.py"), "--recipe", "no such recipe", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("recipe 'no such recipe' is neither a shipped recipe nor a file")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("cwd", [ROOT, PACKAGE])
def test_run_py_takes_its_own_folder_off_the_path(cwd):
    # What `python hfft/run.py` does: the script's folder first on the path, then the file as __main__.
    script = f"""
import importlib.util, json, runpy, sys
sys.path.insert(0, {str(PACKAGE)!r})
sys.argv = ["run.py", "--help"]
try:
    runpy.run_path({str(PACKAGE / "run.py")!r}, run_name="__main__")
except SystemExit as end:
    print(json.dumps([end.code, sys.path, sorted(sys.modules), importlib.util.find_spec("evaluate").origin]))
"""
    done = python("-c", script, cwd=cwd)
    assert done.returncode == 0, done.stderr
    code, path, modules, library = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    assert PACKAGE not in [Path(cwd, entry).resolve() for entry in path]
    assert path[0] == str(ROOT)
    assert "hfft.recipe" in modules
    assert PACKAGE not in Path(library).parents
    assert set(modules) & {"recipe", "errors", "tasks", "data", "train", "torch"} == set()


def test_the_picture_of_the_house_is_the_ranks():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    picture = text.split("```text\n")[1].split("```")[0]
    floors = [tuple("" if name == "hfft" else name for name in floor.split()) for floor in picture.split("\n---\n")]
    assert tuple(reversed(floors)) == RANKS


GONE = {"assemble", "workflow", "outline", "mistakes", "watch", "verdict", "aside", "world", "keeping", "told", "still"}
GONE |= {"seal", "sealed", "room", "fewer", "pace"}


def names_of(tree: ast.Module) -> set[str]:
    """Every name that a source gives: functions, classes, parameters, variables, attributes."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return {name.strip("_").lower() for name in found}


def test_no_name_is_a_word_that_went():
    trees = sources()
    modules = {module: GONE & {*module.split("."), *names_of(tree)} for module, tree in trees.items()}
    assert {module: found for module, found in modules.items() if found} == {}
    assert names_of(ast.parse("def f(aside): self._watch = 1")) == {"f", "aside", "watch"}

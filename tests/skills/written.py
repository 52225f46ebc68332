"""Writes skills for tests."""

from hypothesis import HealthCheck, settings

ON_ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\ndescription: *c"


def write(root, name="pdf", header="description: Reads PDF files.", body="Do it.", folder=None):
    """A folder with a SKILL.md in the format's own form."""
    folder = root / (folder or name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "SKILL.md").write_text(f"---\nname: {name}\n{header}\n---\n{body}\n", encoding="utf8")
    return folder


def put(root, content, folder="pdf", file_name="SKILL.md"):
    """A folder with a file of just that content."""
    folder = root / folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file_name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder

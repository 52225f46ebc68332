"""docs/examples/tour.ipynb, executed as it is stored: each cell must give the output that readers see.

`python -m tests.examples.test_tour` stores new outputs.
"""

import nbclient
import nbformat
import pytest

from tests.examples.programs import FOLDER, PATIENCE

TOUR = FOLDER / "tour.ipynb"


def executed():
    """The notebook with new outputs; only libraries of others write to stderr, such as tqdm without ipywidgets."""
    notebook = nbformat.read(TOUR, as_version=4)
    nbclient.NotebookClient(notebook, timeout=PATIENCE, kernel_name="python3", record_timing=False).execute()
    for cell in code_of(notebook):
        cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    """What each cell shows, which is text alone."""
    assert {(output.output_type, output.name) for cell in code_of(notebook) for output in cell.outputs} == {
        ("stream", "stdout")
    }
    return ["".join(output.text for output in cell.outputs) for cell in code_of(notebook)]


@pytest.mark.engines
def test_every_cell_gives_the_stored_output():
    stored = nbformat.read(TOUR, as_version=4)
    nbformat.validate(stored)
    assert outputs(executed()) == outputs(stored)


def test_the_stored_notebook_says_what_it_needs_and_nothing_about_the_machine():
    stored = nbformat.read(TOUR, as_version=4)
    head = stored.cells[0].source
    for needed in ("pip install '.[hf]'", "jupyter lab docs/examples/tour.ipynb", 'aio.client("', "**For your own:**"):
        assert needed in head
    shown = "".join(outputs(stored))
    assert "The answer is 42." in shown
    assert str(FOLDER.parents[1]) not in shown
    assert not [cell for cell in stored.cells if cell.metadata]


if __name__ == "__main__":
    nbformat.write(executed(), TOUR)

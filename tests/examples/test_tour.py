"""docs/examples/tour.ipynb, executed as it is stored: each cell must give the output that readers see.

`python -m tests.examples.test_tour` stores new outputs.
"""

from copy import deepcopy

import nbclient
import nbformat
import pytest

from tests.examples.programs import FOLDER, PATIENCE

TOUR = FOLDER / "tour.ipynb"


def executed():
    """The notebook with new outputs: the text that each cell prints.

    Only libraries of others write to stderr, such as tqdm without ipywidgets.
    """
    notebook = nbformat.read(TOUR, as_version=4)
    metadata = deepcopy(notebook.metadata)
    nbclient.NotebookClient(notebook, timeout=PATIENCE, kernel_name="python3", record_timing=False).execute()
    notebook.metadata = metadata  # without the version of this interpreter
    for cell in code_of(notebook):
        assert {output.output_type for output in cell.outputs} <= {"stream"}
        if text := "".join(output.text for output in cell.outputs if output.name == "stdout"):
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
    return notebook


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [[output.text for output in cell.outputs] for cell in code_of(notebook)]


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
    assert outputs(stored)[1][0].startswith("The answer is 42.\n")
    assert not [cell for cell in stored.cells if cell.metadata]


if __name__ == "__main__":
    nbformat.write(executed(), TOUR)

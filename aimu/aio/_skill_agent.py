"""The agent with skills: keeps the catalog in its system message and the skill tools among its tools."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import aclosing

from anyio.lowlevel import checkpoint_if_cancelled
from attrs import define, field
from attrs.setters import frozen

from aimu._core.field_docs import with_field_docs
from aimu.aio._agent import Agent
from aimu.aio._run import Run, Steps
from aimu.skills import SkillManager, skill_tools

_CATALOG = re.compile(r"\s*<available_skills>\n.*\n</available_skills>", re.DOTALL)


@with_field_docs
@define(eq=False, slots=False)
class SkillAgent(Agent):
    """An agent whose model sees which skills there are, and loads one when a task needs it.

    At the start of each run the catalog of skills is brought up to date at the end of the system message; the history
    stays. `activate_skill`, `list_skill_files` and `read_skill_file` are added to `tools`, except where tools have
    these names already. Without skills it is a plain agent; for its other arguments see `Agent`. The first run reads
    the folders in a worker thread.

    Args:
        skill_manager: Finds the skills; it cannot be replaced later.
    """

    skill_manager: SkillManager = field(factory=SkillManager, on_setattr=frozen)

    def _begin(self, run: Run, steps: Callable[[], Steps]) -> Steps:
        if not self.skill_manager.looked:
            return self._after_look(run, steps)
        self._show_skills()
        return steps()

    async def _after_look(self, run: Run, begin: Callable[[], Steps]) -> Steps:
        """Those of a first run: files are read where the run calls sync code, not on the event loop."""
        await run.in_thread(self.skill_manager.catalog)
        await checkpoint_if_cancelled()
        self._show_skills()
        async with aclosing(begin()) as steps:
            async for chunk in steps:
                yield chunk

    def _show_skills(self) -> None:
        catalog, shown = self.skill_manager.catalog(), self.system_message or ""
        bare = _CATALOG.sub("", shown)
        text = f"{bare}\n\n<available_skills>\n{catalog}\n</available_skills>".lstrip() if catalog else bare
        if text != shown:
            self.model_client.conversation.replace_system_message(text)
        if catalog:
            tools = self.tools
            names = {getattr(tool, "name", None) or getattr(tool, "__name__", None) for tool in tools}
            tools.extend(tool for tool in skill_tools(self.skill_manager) if tool.__name__ not in names)

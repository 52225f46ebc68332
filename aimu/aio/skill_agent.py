"""The agent with skills: keeps the catalog in its system message and the skill tools among its tools."""

from __future__ import annotations

from contextlib import aclosing

from anyio.lowlevel import checkpoint_if_cancelled
from attrs import define, field
from attrs.setters import frozen

from aimu.aio.agent import Agent
from aimu.aio.run import Run, Steps, Task
from aimu.skills import SkillManager, skill_tools
from aimu.skills.catalog import placed


@define(eq=False)
class SkillAgent(Agent):
    """An agent whose model sees which skills there are, and loads one when a task needs it.

    At the start of each run the catalog of `skill_manager` is brought up to date in the system message (the history and
    your own text stay), and `activate_skill`, `list_skill_files`, `read_skill_file` and, for a shortened catalog,
    `search_skills` are put among `tools` unless tools of these names are there. Without skills it is a plain agent. The
    folders are searched in a worker thread.
    """

    skill_manager: SkillManager = field(factory=SkillManager, on_setattr=frozen)

    def _steps(self, task: Task, run: Run, *, label: str | None = None) -> Steps:
        if not self.skill_manager.looked:
            return self._steps_after_look(task, run, label)
        self._show_skills()
        return super()._steps(task, run, label=label)

    async def _steps_after_look(self, task: Task, run: Run, label: str | None) -> Steps:
        """Those of a first run: files are read where the run calls sync code, not on the event loop."""
        await run.in_thread(self.skill_manager.catalog)
        await checkpoint_if_cancelled()
        self._show_skills()
        async with aclosing(super()._steps(task, run, label=label)) as steps:
            async for chunk in steps:
                yield chunk

    def _show_skills(self) -> None:
        catalog, conversation = self.skill_manager.catalog(), self.model_client.conversation
        system = "" if conversation.system is None else conversation.messages[0].get("content")
        if isinstance(system, str) and (text := placed(system, catalog)) != system:  # else it is refused at the request
            conversation.replace_system(text)
        if catalog:
            tools = self.model_client.tools  # which may have been set there
            names = {getattr(tool, "name", None) or getattr(tool, "__name__", None) for tool in tools}
            tools.extend(tool for tool in skill_tools(self.skill_manager) if tool.__name__ not in names)

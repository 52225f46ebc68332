"""The agent with skills: keeps the catalog of skills in its system message and the skill tools among its tools."""

from __future__ import annotations

from collections.abc import Callable

from anyio.lowlevel import checkpoint_if_cancelled
from attrs import define, field
from attrs.setters import frozen

from aimu._core.field_docs import with_field_docs
from aimu._core.known import with_known_attributes
from aimu._core.loop_end import Nested
from aimu._doors import public
from aimu.aio._agent import Agent
from aimu.aio._history import opens
from aimu.aio._run import Run, Steps
from aimu.skills import SkillManager, skill_tools
from aimu.skills._catalog import placed


@public("aimu.aio")
@with_known_attributes
@with_field_docs
@define(eq=False, slots=False)
class SkillAgent(Agent):
    """An agent whose model sees which skills there are, and loads one when a task needs it.

    At the start of each run, the agent updates the catalog of skills in the system message and keeps your own text and
    the history. It adds `activate_skill`, `list_skill_files`, `read_skill_file` and, if the catalog is shortened,
    `search_skills` to `tools`, unless tools of these names are already there. Without skills it works like a plain
    `Agent`, whose other arguments it accepts too. The first run reads the folders in a worker thread.

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
        """Yield the steps of a first run, after reading the files where the run calls sync code, off the event loop."""
        await run.in_thread(self.skill_manager.catalog)
        await checkpoint_if_cancelled()
        self._show_skills()
        async with Nested(begin()) as steps:
            async for chunk in steps:
                yield chunk

    def _show_skills(self) -> None:
        catalog, conversation = self.skill_manager.catalog(), self.model_client.conversation
        messages = conversation.history.messages
        shown = messages[0].get("content") if opens(messages) else ""
        # If it is not a text, the request raises.
        if isinstance(shown, str) and (text := placed(shown, catalog)) != shown:
            conversation.replace_system_message(text or None)
        if catalog:
            tools = self.tools
            names = {getattr(tool, "name", None) or getattr(tool, "__name__", None) for tool in tools}
            tools.extend(tool for tool in skill_tools(self.skill_manager) if tool.__name__ not in names)

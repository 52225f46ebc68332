"""Skills in the agentskills.io format: found in folders, listed in the system message, loaded when a task needs one."""

from aimu.skills._discovery import SkillManager
from aimu.skills._skill import Skill
from aimu.skills._tools import skill_tools, skills_server

__all__ = ["Skill", "SkillManager", "skill_tools", "skills_server"]

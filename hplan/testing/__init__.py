"""Checks for your own tasks, planners, energies and agents: each raises AssertionError with what is wrong and the fix.

    from hplan.testing import check_task

    check_task("gym:MyEnv-v0")

hplan's own tests run them over everything that it ships.
"""

from hplan.testing.agents import check_agent
from hplan.testing.planners import check_energy, check_planner
from hplan.testing.worlds import check_task

__all__ = ["check_agent", "check_energy", "check_planner", "check_task"]

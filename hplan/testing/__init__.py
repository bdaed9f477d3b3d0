"""Checks for your own tasks, planners, energies, world models, encoders and agents. Each raises AssertionError, which
says what is wrong and the fix.

    from hplan.testing import check_task

    check_task("gym:MyEnv-v0")

hplan's own tests run them over everything that it ships.
"""

from hplan.testing.agents import check_agent
from hplan.testing.models import check_encoder, check_model
from hplan.testing.planners import check_energy, check_planner
from hplan.testing.worlds import check_task

__all__ = ["check_agent", "check_encoder", "check_energy", "check_model", "check_planner", "check_task"]

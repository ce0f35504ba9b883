"""Diffusion: how a picture dissolves into noise, and every step of the way back."""

from explorer.diffusion.base import Trajectory
from explorer.diffusion.sample import sample
from explorer.diffusion.samplers import SAMPLERS
from explorer.diffusion.schedules import SCHEDULES
from explorer.diffusion.steer import between, fork, from_picture, slerp

__all__ = ["SAMPLERS", "SCHEDULES", "Trajectory", "between", "fork", "from_picture", "sample", "slerp"]

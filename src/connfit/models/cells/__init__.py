"""Cells: what one neuron does with its input in one step; one file a cell.

A cell is one registration of a `Cell` in `CELLS`, in a module here or in another package behind an entry point of the
group `connfit.cells`. Configurations (`model.cell`), `--help`, studies and reports know it then. Its model keeps the
contract of `connfit.models.base.Model`; a subclass of `connfit.models.connectome_model.ConnectomeModel` adds what one
neuron does to what all cells share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from connfit._registry import Entry, Options, Registry
from connfit.models.base import GROUPS, Model


@dataclass(frozen=True, kw_only=True)
class Cell(Entry):
    """A kind of neuron by name.

    Parameters
    ----------
    name
        `model.cell` in configurations.
    build
        Builds the model, as `build(conditions)` with the fields of `options` as further keywords; see
        `connfit.models.connectome_model.ModelConditions`.
    does
        What a neuron does, in words for tables.
    options
        Their class. Those that section `model` has are taken from there, others from `model.cell_options`.
    groups
        Groups of parameters that such a model can have; `model.groups` says which one does.
    in_studies
        Whether it is a row of every study whose run has another cell.
    """

    build: Callable[..., Model]
    does: str
    options: type[Options] = Options
    groups: tuple[str, ...] = GROUPS
    in_studies: bool = True

    @property
    def row(self) -> str:
        """Name of its row in studies, and of the row's folders."""
        return self.name.replace("-", "_")


CELLS: Registry[Cell] = Registry("cell", Cell, room=__name__, group="connfit.cells")
"""Cells by name."""

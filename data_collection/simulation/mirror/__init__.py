"""A mirror: serves an archive tree over HTTP as the archive does, with the faults asked for."""

from alphaqcm.data_collection.simulation.mirror.faults import Fault, FaultKind, FaultPlan
from alphaqcm.data_collection.simulation.mirror.server import Mirror, Served
from alphaqcm.data_collection.simulation.mirror.tree import DirectoryTree, KeyTree, Tree, TreeEntry

__all__ = [
    "DirectoryTree",
    "Fault",
    "FaultKind",
    "FaultPlan",
    "KeyTree",
    "Mirror",
    "Served",
    "Tree",
    "TreeEntry",
]

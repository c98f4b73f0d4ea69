"""The same work on a Ray cluster, with the same numbers.

    selection.select_in_shards      greedy selection of rows in shards on several machines
              |
    core.coreset.greedy_coreset_of_shards     chooses, on the machine that asks
              |
    shards.RayShards               one actor for each shard: passes over the features where they are

Ray moves Python objects between machines by pickling them, so whoever may talk to a cluster may run
code on it: a cluster belongs into a network of its own.  Arrays and names are all that is sent.
"""

from patchbank.cluster.selection import compose_in_shards, select_in_shards

__all__ = ["compose_in_shards", "select_in_shards"]

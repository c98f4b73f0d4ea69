"""Inspections that replicas on a Ray cluster compute for the service (`serve --cluster`).

on_cluster.OnCluster     in the service: takes tasks, and starts a lost link again
|
link.Link                in the service: the process of a link, and what is under way in it
|  frames           JSON and bytes over pipes: the service unpickles nothing
|
link_process             a process of its own: the connection to Ray, which ends its process
|                   where a cluster is gone
replica.Replica          on a node: `computing.computed`, the code of a service without cluster
"""

"""What runs beside the engine with privileges. Standard library only: this folder is copied into the agent's image.

The agent knows mechanisms, not faults: the state of a LUN, pids of services, the links of a container. Which
state a fault wants is said in `chaos.faults`.
"""

"""Hosts: their queues, whose turn it is, whether they are well, what they are asked for."""

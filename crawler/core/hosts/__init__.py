"""Hosts: their queues, scheduling, health, cookies, retries and addresses."""

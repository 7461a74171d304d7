"""Dagster's edge: thin definitions that call the rooms below and add metadata.

Here belong ops, assets, checks, schedules, sensors, resources and the instance's storage. Rules of trading stay out.
"""

"""Scenarios of fine-tuning beyond one task: what they measure, and commands of their own."""

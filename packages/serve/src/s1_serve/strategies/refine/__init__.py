"""Strategies that write prompts about earlier answers: combine, criticise, rank, hand on."""

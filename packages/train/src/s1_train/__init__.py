"""Supervised fine-tuning on Lightning with exact resume, and export to safetensors."""

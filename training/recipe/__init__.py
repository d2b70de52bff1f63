"""The recipe of Eyeshot's own models: pictures that are drawn, a SmolVLM in PyTorch, and what trains and exports it."""

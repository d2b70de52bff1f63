"""Muon for matrices of layers, AdamW for all else."""

import math

import torch

# Coefficients of the quintic steps that bring singular values to 1: "The Polar Express", arXiv 2505.16932.
STEPS = ((4.0848, -6.8946, 2.9270), (3.9505, -6.3029, 2.6377), (3.7418, -5.5913, 2.3037), (2.8769, -3.1427, 1.2046),
         (2.8366, -3.0525, 1.2012))


def orthogonalize(x: torch.Tensor) -> torch.Tensor:
    """[matrices, m, n] -> the nearest orthogonal ones, about."""
    tall = x.shape[-2] > x.shape[-1]
    y = (x.mT if tall else x).to(torch.bfloat16 if x.is_cuda else x.dtype)
    y = y / (y.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for a, b, c in STEPS:
        gram = y @ y.mT
        y = a * y + (b * gram + c * gram @ gram) @ y
    return (y.mT if tall else y).float()


class MuonAdamW:
    """Matrices of one shape are updated together. The learning rates are those of the constructor times step()'s share."""

    MOMENTUM, DECAY = 0.95, 0.05

    def __init__(self, model: torch.nn.Module, matrix_rate: float, other_rate: float):
        self.matrix_rate, self.other_rate = matrix_rate, other_rate
        self.matrices, wide, flat = {}, [], []
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2 and "embed" not in name and not name.startswith("characters"):
                self.matrices.setdefault(tuple(parameter.shape), []).append(parameter)
            else:
                (wide if parameter.dim() >= 2 else flat).append(parameter)
        self.momenta = {shape: torch.zeros(len(group), *shape, device=group[0].device)
                        for shape, group in self.matrices.items()}
        groups = [{"params": wide, "weight_decay": 0.01}, {"params": flat, "weight_decay": 0.0}]
        self.adam = torch.optim.AdamW(groups, lr=other_rate, betas=(0.9, 0.98), eps=1e-8)

    @torch.no_grad()
    def step(self, share: float) -> None:
        for group in self.adam.param_groups:
            group["lr"] = self.other_rate * share
        self.adam.step()
        rate = self.matrix_rate * share
        for shape, group in self.matrices.items():
            gradient = torch.stack([torch.zeros_like(p) if p.grad is None else p.grad for p in group]).float()
            momentum = self.momenta[shape]
            momentum.lerp_(gradient, 1 - self.MOMENTUM)
            # Steps are as large as AdamW's: arXiv 2502.16982.
            update = orthogonalize(gradient.lerp(momentum, self.MOMENTUM)) * (0.2 * math.sqrt(max(shape)))
            for parameter, change in zip(group, update, strict=True):
                parameter.mul_(1 - rate * self.DECAY).add_(change, alpha=-rate)

    def state_dict(self) -> dict:
        return {"adam": self.adam.state_dict(), "momenta": self.momenta}

    def load_state_dict(self, state: dict) -> None:
        self.adam.load_state_dict(state["adam"])
        for shape, momentum in state["momenta"].items():
            self.momenta[shape].copy_(momentum)

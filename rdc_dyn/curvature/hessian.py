"""A = ∇²_θ J of an amortised objective of multilayer perceptrons in closed form, by one pass over the data.

A `Perceptron` gives the inputs ã_{k−1} of its layers, and the slopes g_k and curvatures H_k of its loss in h_k.
Since ∂L/∂W_k = g_k ã_{k−1}ᵀ, and lower layers change g_k through h_k alone, the blocks of one layer and of two layers
j < k are sums over the data of

    ∂²L/∂W_k[o,m]∂W_k[p,q] = H_k[o,p] ã_{k−1}[m] ã_{k−1}[q],
    ∂²L/∂W_j[p,q]∂W_k[o,m] = ã_{j−1}[q] (M[p,o] ã_{k−1}[m] + T[p,m] g_k[o]),

with T = ∂a_{k−1}/∂h_j, V = ∂h_k/∂h_j = T W_kᵀ and M = ∂g_k/∂h_j = V H_k, whose first index is that of h_j.

The decoder and the classifier are perceptrons on codes z = μ + s ε, with the losses −λ w/S log d and −γ w/S log c for a
datum of weight w; they share no block. H_L is diagonal for the decoder, and γ w/S (diag c − c cᵀ) for the classifier.
The encoder is a perceptron on the data, whose loss of e = (μ, ln s²) is what the codes and the divergence make of it:

    g = Σ_s Z g_z + w (μ, ½(s² − 1)),    H = Σ_s (Z H_z Zᵀ + diag(0, ½ζ ∘ g_z)) + w diag(1, ½s²),

with Z = ∂z/∂e = (1, diag ζ) and ζ = ½ s ε. Its blocks with the others are Σ ã_{j−1}[q] R_j[p], where the derivative
R_L = Σ_s Z ∂(g_k ã_{k−1}ᵀ)/∂z of their gradients in e is of the form above, with z in place of h_j, and
R_j = φ_j' ∘ W_{j+1}ᵀ R_{j+1}.

Each sum over the data is thus a product of two large matrices, and all of them take about P² operations for a datum.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot

from rdc_dyn.curvature.perceptron import Layer, Perceptron, elementwise, perceptrons
from rdc_dyn.data.samples import Block
from rdc_dyn.linalg.base import Controls, Vector
from rdc_dyn.objective.amortised import Amortised
from rdc_dyn.objective.base import BlockTerm, Objective, OverData, Term, terms_of
from rdc_dyn.objective.likelihood import Bernoulli, Gaussian

#: Most numbers in the factors of the sums that are held at once, unless A has four times as many.
_NUMBERS = 2**22
#: Operations per second of forming and of factorising A, as multiples of those of a product: measured on a CPU with a
#: digits VAE of 2,110 parameters and one with two hidden layers.
_SPEEDS = (2.0, 3.0)


class Sums(dict[tuple[str, int, int], Tensor]):
    """Sums over the data of xᵀ y, by the kind of the factors and the layers of the block."""

    def add(self, kind: str, j: int, k: int, x: Float[Tensor, "C a"], y: Float[Tensor, "C b"]) -> None:
        """Add xᵀ y."""
        if (kind, j, k) in self:
            self[kind, j, k].addmm_(x.T, y)
        else:
            self[kind, j, k] = x.T @ y

    def add_blocks(self, network: Perceptron, first: int) -> None:
        """Add the blocks of a perceptron whose layers are numbered from `first`."""
        for j, (a, h) in enumerate(zip(network.inputs, network.curvature)):
            upper = h if h.ndim == 2 else _upper(h)
            rows, columns = torch.triu_indices(a.shape[1], a.shape[1], device=a.device)
            self.add("own", first + j, first + j, upper, a.index_select(1, rows) * a.index_select(1, columns))
            for k, _, m, t in network.tangents(j):
                self.add("outer", first + j, first + k, m.flatten(1), _outer(a, network.inputs[k]))
                if t.ndim == 2:
                    self.add("bent", first + j, first + k, _outer(t, a), network.g[k])
                else:
                    self.add("bent", first + j, first + k, t.flatten(1), _outer(a, network.g[k]))

    def add_encoder(self, encoder: Perceptron, r: Float[Tensor, "e N x"]) -> None:
        """Add the blocks of the encoder with all others, from the derivative R of their gradients in e."""
        for j, a in reversed([*enumerate(encoder.inputs)]):
            if j < len(encoder.layers) - 1:
                r = (encoder.weights[j + 1].T @ r.flatten(1)).unflatten(1, r.shape[1:])
                r *= encoder.slopes[j].T[:, :, None]
            total = self.get(("encoder", j, j), r.new_zeros(()))
            self["encoder", j, j] = total + a.T @ r


@dataclass(frozen=True)
class Hessian:
    """A in closed form, without the weight prior.

    Attributes:
        blocks: The data that J sums over.
        networks: Layers of the encoder, the decoder and the classifier.
    """

    objective: Amortised
    blocks: tuple[Block, ...]
    networks: tuple[tuple[Layer, ...], ...]

    @classmethod
    def of(cls, terms: Sequence[Term]) -> Hessian | None:
        """The Hessian of Σ terms, or None where it has no closed form here.

        It has one for an `Amortised` objective whose networks are Linear layers with one of `ACTIVATIONS` between them.
        """
        found = [term for term in terms if isinstance(term, BlockTerm)]
        if len(found) < len(terms) or type(objective := found[0].objective) is not Amortised:
            return None
        networks = perceptrons(objective.networks)
        if networks is None or not isinstance(objective.likelihood, Gaussian | Bernoulli):
            return None
        return cls(objective, tuple(term.block for term in found), networks)

    @property
    def price(self) -> int:
        """Products that A and a factor of it are worth on a CPU, at most P.

        With P_k parameters in layer k, a block counts 2 P_j P_k operations a datum or code, that of one layer a quarter
        of it, a factor P³/3, and a product 12 P a code. Few data are overrated, since small products are slow.
        """
        samples, sizes = self.objective.samples, [[n.shape[0] * n.inputs for n in network] for network in self.networks]
        encoder, *others = sizes
        a_datum = _blocks(encoder) + 2 * sum(encoder) * sum(map(sum, others)) + samples * sum(map(_blocks, others))
        count, size = sum(self.objective.data.parts.values()), self.objective.size
        forming, factor = _SPEEDS
        product = 12 * size * samples * count
        return min(math.ceil(count * a_datum / (forming * product) + size**3 / 3 / (factor * product)), size)

    @cached_property
    def _layers(self) -> tuple[Layer, ...]:
        return tuple(layer for network in self.networks for layer in network)

    @property
    def _size(self) -> int:
        """Most data at a time."""
        encoder, *others = self.networks
        rest = sum(layer.shape[0] * layer.inputs for network in others for layer in network)
        codes = sum(j.shape[0] * k.shape[0] + j.inputs * k.inputs for network in others for j, k in pairwise(network))
        data = max(layer.inputs**2 // 2 + layer.shape[0] * rest for layer in encoder)
        most = max(_NUMBERS, self.objective.size**2 // 4)  # few data would go through the memory of A too often
        return max(most // (self.objective.samples * codes + data), 1)

    def at(self, theta: Vector, controls: Controls, dtype: torch.dtype | None = None) -> Float[Tensor, "P P"]:
        """A at one state, computed in `dtype`; None takes that of θ."""
        parameters = dict(self.objective.networks.named_parameters()) | self.objective.layout.unflatten(theta)
        cast = {name: value.detach().to(theta.device, dtype or theta.dtype) for name, value in parameters.items()}
        sums = Sums()
        for block in self.blocks:
            for piece in block.split(self._size):
                self._add(sums, piece, cast, controls)
        return self._matrix(sums, theta)

    def _add(self, sums: Sums, block: Block, parameters: dict[str, Tensor], controls: Controls) -> None:
        """Add the sums over a block."""
        objective, like = self.objective, parameters[self._layers[0].weight]
        lam, gamma, position = controls.unbind()
        sample, noise = objective.data.sample(block, position), objective.noise(block).to(like)
        x, weights, each = sample.x.to(like), objective.data.weights(block, position).to(like)[:, None], noise.shape[:2]
        encoder = Perceptron(self.networks[0], parameters, x)
        mean, log_variance = encoder.output.chunk(2, dim=1)
        deviation, variance = (0.5 * log_variance).exp()[:, None, :] * noise, log_variance.exp()
        z = (mean[:, None, :] + deviation).flatten(0, 1)
        decoder, classifier = (Perceptron(layers, parameters, z) for layers in self.networks[1:])
        share = (weights / each[1]).repeat_interleave(each[1], 0)

        def distortion(output: Tensor) -> Tensor:
            return -objective.likelihood.log_prob(x[:, None, :], output.unflatten(0, each))

        _, slope, bend = elementwise(distortion, decoder.output)
        decoder.load(lam * share * slope, lam * share * bend)
        c = classifier.output.softmax(1)
        y = sample.labelled(lambda y: one_hot(y, c.shape[1]).to(like)).repeat_interleave(each[1], 0)
        spread = torch.diag_embed(c) - c[:, :, None] * c[:, None, :]
        classifier.load(gamma * share * (c - y), gamma * share[:, :, None] * spread)

        zeta = 0.5 * deviation
        z_e = torch.stack([torch.ones_like(zeta), zeta], 2)  # Z, whose parts are diagonal
        g_z, h_z = (one + other for one, other in zip(decoder.at_input(), classifier.at_input()))
        g_z, h_z = g_z.unflatten(0, each), h_z.unflatten(0, each)
        g = (z_e * g_z[:, :, None]).sum(1).flatten(1)
        h = torch.einsum("nsaj,nsjk,nsbk->najbk", z_e, h_z, z_e).flatten(3).flatten(1, 2)
        bent = torch.cat([torch.ones_like(mean), 0.5 * variance], 1) * weights
        bent[:, mean.shape[1] :] += (0.5 * zeta * g_z).sum(1)
        encoder.load(g + weights * torch.cat([mean, 0.5 * (variance - 1)], 1), h + torch.diag_embed(bent))

        first = 0
        for network in (encoder, decoder, classifier):
            sums.add_blocks(network, first)
            first += len(network.layers)
        sums.add_encoder(encoder, torch.cat([*_moved(decoder, z_e), *_moved(classifier, z_e)], 2))

    def _matrix(self, sums: Sums, theta: Vector) -> Float[Tensor, "P P"]:
        """The blocks, in the order of θ."""
        matrix = theta.new_zeros((len(theta), len(theta)), dtype=next(iter(sums.values())).dtype)
        layers, places = self._layers, [self._places(layer) for layer in self._layers]
        encoder = len(self.networks[0])

        def put(j: int, k: int, block: Tensor) -> None:
            """Write a block with indices [p, q, o, m]."""
            for rows, q in places[j]:
                for columns, m in places[k]:
                    part = matrix[rows, columns].unflatten(1, (layers[k].shape[0], -1))
                    part.unflatten(0, (layers[j].shape[0], -1)).copy_(block[:, q, :, m])
                    if j != k:
                        matrix[columns, rows] = matrix[rows, columns].T

        for (kind, j, k), total in sums.items():
            p, a, o, b = layers[j].shape[0], layers[j].inputs, layers[k].shape[0], layers[k].inputs
            if kind == "own":
                put(j, j, _unpacked(total, p, a))
            elif kind == "outer":
                block, bent = total.view(p, o, a, b).transpose(1, 2), sums["bent", j, k]
                if k == j + 1:
                    block[..., :p].diagonal(dim1=0, dim2=3).add_(bent.view(p, a, o).permute(1, 2, 0))
                else:
                    block[..., : layers[k].shape[1]].add_(bent.view(p, -1, a, o).permute(0, 2, 3, 1))
                put(j, k, block)
            elif kind == "encoder":
                others = layers[encoder:]
                parts = total.split([layer.shape[0] * layer.inputs for layer in others], 2)
                for number, (layer, part) in enumerate(zip(others, parts)):
                    put(j, encoder + number, part.unflatten(2, (layer.shape[0], -1)))
        return matrix

    def _places(self, layer: Layer) -> list[tuple[slice, slice]]:
        """Where the parameters of a layer lie in θ, and the part of ã that they multiply; none for a frozen one."""
        found, start = [], 0
        for name, shape in zip(self.objective.layout.names, self.objective.layout.shapes):
            if name == layer.weight:
                found.append((slice(start, start + shape.numel()), slice(0, layer.shape[1])))
            elif name == layer.bias:
                found.append((slice(start, start + shape.numel()), slice(layer.shape[1], layer.inputs)))
            start += shape.numel()
        return found


def price(objective: Objective) -> int | None:
    """Products that A in closed form and a factor of it are worth; None where there is no closed form."""
    blocks = objective.data.blocks() if isinstance(objective, OverData) else ()
    hessian = Hessian.of(terms_of(objective, blocks))
    return None if hessian is None else hessian.price


def _blocks(sizes: list[int]) -> float:
    """Operations a row for the blocks of one network, from the parameters of its layers."""
    return sum(sizes) ** 2 - sum(size**2 / 2 for size in sizes)


def _moved(network: Perceptron, z_e: Float[Tensor, "N S 2 d"]) -> Iterator[Float[Tensor, "e N x"]]:
    """R = Σ_s Z ∂(g ãᵀ)/∂z of each layer."""
    each = z_e.shape[:2]

    def codes(x: Tensor) -> Tensor:
        return x.unflatten(0, each)

    def through(x: Float[Tensor, "C d n"]) -> Tensor:
        return (z_e[..., None] * codes(x)[:, :, None]).flatten(2).transpose(1, 2)

    for k, _, m, t in network.tangents(None):
        a, g = codes(network.inputs[k]), codes(network.g[k])
        r = (through(m) @ a).unflatten(1, (-1, g.shape[2]))
        t = torch.diag_embed(t) if t.ndim == 2 else t
        r[..., : t.shape[2]] += (through(t) @ g).unflatten(1, (-1, t.shape[2])).transpose(2, 3)
        yield r.flatten(2).transpose(0, 1)


def _outer(x: Float[Tensor, "C a"], y: Float[Tensor, "C b"]) -> Float[Tensor, "C ab"]:
    """x yᵀ of each row, flattened."""
    return (x[:, :, None] * y[:, None, :]).flatten(1)


def _upper(h: Float[Tensor, "C n n"]) -> Float[Tensor, "C u"]:
    """The upper triangle of each matrix."""
    rows, columns = torch.triu_indices(h.shape[1], h.shape[1], device=h.device)
    return h.flatten(1).index_select(1, rows * h.shape[1] + columns)


def _unpacked(total: Float[Tensor, "v u"], n: int, a: int) -> Float[Tensor, "n a n a"]:
    """The block of a layer from its upper triangles; v = n for a diagonal H."""

    def square(size: int) -> Tensor:
        rows, columns = torch.triu_indices(size, size, device=total.device)
        index = rows.new_zeros((size, size))
        index[rows, columns] = index[columns, rows] = torch.arange(len(rows), device=total.device)
        return index.flatten()

    full = total[:, square(a)].unflatten(1, (a, a))
    if len(total) != n or n == 1:
        return full[square(n)].unflatten(0, (n, n)).transpose(1, 2)
    return torch.diag_embed(full.movedim(0, 2), dim1=0, dim2=2)

"""What objectives with a network encoder e_θ(z|x) = N(μ, diag s²) share: codes z = μ(x) + s(x) ε with frozen ε."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call
from torch.quasirandom import SobolEngine

from rdc_dyn.data.samples import Block, Data, Sample
from rdc_dyn.linalg.base import Rows, Scalar, Vector, require_memory
from rdc_dyn.objective.base import Functionals, no_kernel, sum_over_data
from rdc_dyn.objective.diagnostics import block_size, held_out_numbers, training_numbers
from rdc_dyn.objective.likelihood import Likelihood
from rdc_dyn.objective.networks import Layout, Networks, Outputs, counting, refuse_no_function
from rdc_dyn.status import UserError

_BITS = 30


def sobol_normal(
    data: int, samples: int, dim: int, seed: int, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "N S d"]:
    """Standard normal points on the CPU, `samples` in `dim` dimensions for each datum, from one scrambled Sobol set.

    Each datum gets the Sobol set with a random digital shift of its own (Owen 1995; L'Ecuyer & Lemieux 2002): every
    point is uniform, and the points of one datum stay as evenly spread as Sobol's. Networks would memorise independent
    samples much sooner.
    """
    if dim > SobolEngine.MAXDIM:
        raise UserError(
            f"objective.encoder.latent_dim: {dim}; Sobol points have at most {SobolEngine.MAXDIM} dimensions"
        )
    # Integers, floating-point numbers, and what the inverse of the normal distribution makes of these.
    require_memory(3 * 8.0 * data * samples * dim, f"objective.samples: {samples} for each of {data} data")
    points = SobolEngine(dim, scramble=True, seed=seed).draw(samples, dtype=torch.float64)
    base = (points * 2**_BITS).to(torch.int64)
    generator = torch.Generator().manual_seed(seed)
    shift = torch.randint(2**_BITS, (data, 1, dim), generator=generator)
    # Adding 0.5 keeps u inside (0, 1).
    uniform = ((base[None] ^ shift).to(torch.float64) + 0.5) / 2**_BITS
    return torch.special.ndtri(uniform).to(dtype)


Noise = Float[Tensor, "N S d"]

#: Intermediate numbers per component of x and of a datum's decoder outputs, losses and hidden layers included.
_NUMBERS = 8
#: Codes per datum in evaluations on all data, as a multiple of those in an update with fresh noise.
_EVALUATED = 2
#: Names of the noise for the parts of the held-out data.
_HELD_OUT = {"source": "validation", "target": "target_validation"}


@dataclass(frozen=True)
class Codes:
    """S codes z = μ + s ε of each datum, with their losses; m = N(0, I).

    Attributes:
        distortion: −log d(x|z).
        classification_loss: −log c(y|z).
        log_classifier: log c(·|z) of all classes.
    """

    mean: Float[Tensor, "N d"]
    log_variance: Float[Tensor, "N d"]
    noise: Noise
    z: Float[Tensor, "N S d"]
    distortion: Float[Tensor, "N S"]
    classification_loss: Float[Tensor, "N S"]
    log_classifier: Float[Tensor, "N S Y"]

    @property
    def divergence(self) -> Float[Tensor, "N"]:
        """KL(e_θ(·|x) ‖ m) = ½ Σ (μ² + s² − ln s² − 1)."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - self.log_variance - 1).sum(1)

    @property
    def log_ratio(self) -> Float[Tensor, "N S"]:
        """log e_θ(z|x) − log m(z) = ½ Σ (z² − ε² − ln s²), whose mean is the divergence."""
        return 0.5 * (self.z.square() - self.noise.square() - self.log_variance[:, None, :]).sum(2)


@dataclass(frozen=True)
class Variational(ABC):
    """Networks, data and frozen noise; subclasses define how the codes of a datum enter J.

    A UserError is raised if a module of the networks makes J no function of θ.

    Attributes:
        networks: Encoder, decoder and classifier; their parameters are θ.
        samples: Frozen Sobol samples of z for each datum.
        fresh: Whether each minibatch draws its own noise, so that J is the average over noise; evaluations on all data
            keep frozen points, which no update sees.
    """

    data: Data
    networks: Networks
    latent_dim: int
    likelihood: Likelihood
    samples: int
    weight_prior_precision: float
    seed: int
    exact: bool = False
    fresh: bool = field(default=False, kw_only=True)
    #: What the record takes from `measure`; it takes the functionals from J.
    recorded: ClassVar[tuple[str, ...]] = ("accuracy", "code_accuracy")
    layout: Layout = field(init=False)
    _noise: dict[str, Noise] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        refuse_no_function(self.networks)
        object.__setattr__(self, "layout", Layout.of(self.networks))
        data, noise = self.data, {}
        training = {"source": data.source, "target": data.target}
        sets = training | {"validation": data.validation, "target_validation": data.target_validation}
        for number, (name, sample) in enumerate(sets.items()):
            if sample is not None:
                noise[name] = self._draw(sample, 2 * number)
            if sample is not None and name in training:
                noise[f"fresh_{name}"] = self._draw(sample, 2 * number + 1)
        if self.data.coupling is not None:
            # Each datum keeps its noise as it moves, so that J at t = 0 is that of the source.
            noise |= {f"{p}pairs": noise[f"{p}source"][self.data.coupling.source] for p in ("", "fresh_")}
        object.__setattr__(self, "_noise", noise)

    def _draw(self, sample: Sample, stream: int) -> Noise:
        noise = sobol_normal(len(sample), self.evaluated, self.latent_dim, seed=1_000_003 * self.seed + stream)
        return noise.to(sample.x)

    @abstractmethod
    def bound(self, codes: Codes, sample: Sample, lam: Scalar, gamma: Scalar) -> Scalar:
        """J of a sample."""

    @abstractmethod
    def weights(self, codes: Codes, lam: Scalar, gamma: Scalar) -> Float[Tensor, "N S"]:
        """Weights of the codes in the averages D and C of each datum, which sum to one."""

    @property
    def evaluated(self) -> int:
        """Codes per datum in evaluations on all data; with too few, their noise would hide a small ∇J."""
        return _EVALUATED * self.samples if self.fresh else self.samples

    @property
    def moves(self) -> bool:
        """Whether there is a target."""
        return self.data.target is not None

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.layout.size

    @cached_property
    def numbers(self) -> int:
        """Numbers that the layers of the networks compute for one datum and its codes."""
        sample, noise = self.data.source[:1], self._noise["source"][:1]
        with torch.no_grad(), counting(self.networks) as counts:
            self.outputs(sample.x.new_zeros(self.size), sample, noise)
        return sum(counts)

    def codes(self, theta: Vector, sample: Sample, noise: Noise) -> Codes:
        """Codes of a sample for given noise, with their losses."""
        return self.judged(self.outputs(theta, sample, noise), sample, noise)

    def outputs(self, theta: Vector, sample: Sample, noise: Noise) -> Outputs:
        """Outputs of the networks on a sample for given noise."""
        found: Outputs = functional_call(self.networks, self.layout.unflatten(theta), (sample.x, noise))
        return found

    def judged(self, outputs: Outputs, sample: Sample, noise: Noise) -> Codes:
        """Codes from the outputs of the networks, with their losses."""
        log_classifier = outputs.logits.log_softmax(-1)

        def of_label(y: Tensor) -> Tensor:
            return log_classifier.gather(-1, y[:, None, None].expand(-1, noise.shape[1], 1))[..., 0]

        distortion = -self.likelihood.log_prob(sample.x[:, None, :], outputs.output)
        mean, log_variance, z = outputs[:3]
        return Codes(mean, log_variance, noise, z, distortion, -sample.labelled(of_label), log_classifier)

    def noise(self, block: Block) -> Noise:
        """The noise of a block: its own if it has any, else the frozen noise."""
        return self._noise[block.part][block.rows] if block.noise is None else block.noise

    def drawn(self, block: Block, generator: torch.Generator) -> Block:
        """The block with fresh noise for each datum if J averages over noise, else unchanged."""
        if not self.fresh:
            return block
        # In pairs ±ε the odd parts cancel, which lowers the variance of ∇J due to noise 2.7 times on MNIST.
        half = torch.randn((block.count, (self.samples + 1) // 2, self.latent_dim), generator=generator)
        noise = torch.cat([half, -half], dim=1)[:, : self.samples]
        return replace(block, noise=noise.to(self.data.source.x))

    def functionals(
        self, block: Block, theta: Vector, lam: Scalar, gamma: Scalar, data_position: Scalar
    ) -> Functionals:
        """(R, D, C) of each datum."""
        sample = self.data.sample(block, data_position)
        codes = self.codes(theta, sample, self.noise(block))
        weights = self.weights(codes, lam, gamma)
        distortion = (weights * codes.distortion).sum(1)
        classification = (weights * codes.classification_loss).sum(1)
        rate = self.rates(codes, lam, gamma, lam * distortion + gamma * classification)
        return rate, distortion, classification

    @abstractmethod
    def rates(self, codes: Codes, lam: Scalar, gamma: Scalar, paid: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
        """R of each datum, given its λD + γC as `paid`."""

    def block_energy(self, block: Block, theta: Vector, lam: Scalar, gamma: Scalar, data_position: Scalar) -> Scalar:
        """What a block adds to J."""

        def bound(block: Block, sample: Sample) -> Tensor:
            return self.bound(self.codes(theta, sample, self.noise(block)), sample, lam, gamma)

        return self.data.share(block, bound, data_position)

    def free_energy(self, theta: Vector, lam: Scalar, gamma: Scalar, data_position: Scalar) -> Scalar:
        """J over the data at t: source, mixture or moving points."""
        return sum_over_data(self, theta, lam, gamma, data_position)

    def initial(self, generator: torch.Generator) -> Vector:
        """Initial parameters of the networks, see `Layout.initial`."""
        return self.layout.initial(generator).to(self.data.source.x)

    def kernel(self, theta: Vector) -> Rows:
        """Empty: the frozen noise breaks the continuous symmetry under rotations of z."""
        return no_kernel(theta)

    def diagnostics(self, theta: Vector, lam: float, gamma: float, data_position: float) -> dict[str, float]:
        """Accuracies, D and C on noise that J never saw, and R, D, C and accuracies on the held-out data."""
        lam_, gamma_, position = theta.new_tensor([lam, gamma, data_position]).unbind()
        # Without a graph, the outputs of a layer are freed soon after the next layer has used them.
        size = block_size(max(_NUMBERS * (self.evaluated + 1) * self.data.x_dim, self.numbers // 4), theta)

        def measured(noise: str, block: Block, sample: Sample) -> dict[str, Tensor]:
            return self.measure(self.codes(theta, sample, self._noise[noise][block.rows]), sample, lam_, gamma_)

        def frozen(block: Block, sample: Sample) -> dict[str, Tensor]:
            return measured(block.part, block, sample)

        def fresh(block: Block, sample: Sample) -> dict[str, Tensor]:
            return measured(f"fresh_{block.part}", block, sample)

        def held_out(block: Block, sample: Sample) -> dict[str, Tensor]:
            return measured(_HELD_OUT[block.part], block, sample)

        with torch.no_grad():
            numbers = training_numbers(self.data, frozen, self.recorded, position, size)
            on_fresh = training_numbers(self.data, fresh, ("distortion", "classification_loss"), position, size)
            numbers |= {f"fresh_{name}": value for name, value in on_fresh.items()}
            return numbers | held_out_numbers(self.data, held_out, position, size)

    def measure(self, codes: Codes, sample: Sample, lam: Scalar, gamma: Scalar) -> dict[str, Tensor]:
        """R, D, C and accuracies of a sample.

        The accuracy is that of the class probabilities averaged over the codes, weighted as if the label were unknown;
        the code accuracy is the expected accuracy of a single code under the same weights.
        """
        weights, blind = self.weights(codes, lam, gamma), self.weights(codes, lam, torch.zeros_like(gamma))
        distortion = sample.mean((weights * codes.distortion).sum(1))
        classification = sample.mean((weights * codes.classification_loss).sum(1))
        prediction = (blind[..., None] * codes.log_classifier.exp()).sum(1).argmax(1)
        of_codes = codes.log_classifier.argmax(2)
        return {
            "rate": self.bound(codes, sample, lam, gamma) - lam * distortion - gamma * classification,
            "distortion": distortion,
            "classification_loss": classification,
            "accuracy": sample.mean(sample.labelled(lambda y: (prediction == y).to(distortion.dtype))),
            "code_accuracy": sample.mean(sample.labelled(lambda y: (blind * (of_codes == y[:, None])).sum(1))),
        }

"""Commented scenarios to start from."""

from __future__ import annotations

from rdc_dyn.status import UserError

_COMMON_TAIL = """\
response:
  kind: linear_response   # d theta / d(lam, gamma) = A^-1 b | secant, finite_difference: see the template vae-secant
  solver:
    method: cg            # cg: conjugate gradients with products A v | minres: A may be indefinite | dense: form A
    rtol: 1.0e-8          # relative residual of the linear solve; keep it below a tenth of the integrator's rtol
    damping: 0.0          # added to A; anything but 0 gives the response of another, damped system
    preconditioner: factorised   # a factor of an A met earlier | nystrom, kfac: for large networks | none
    # rank: 100           # of nystrom: products that a build takes; of kfac: size of its dense core
    memory: 40            # pairs (s, A s) of the last solves that update the preconditioner; 0: none
integrator:
  method: rk4             # euler | midpoint | heun2 | heun3 | rk4, or with rtol and atol: dopri5 and others
  step_size: 0.1          # in units of the process clock; halved where a step fails
corrector:                # brings theta back to grad J = 0 after every step
  method: newton_krylov   # none | gradient (the paper's Adam) | newton_krylov
  hold_constraint: true   # also restore what the process holds, by moving one multiplier direction
output:
  every: 1                # record every so many accepted steps
  theta: checkpoints      # keep theta at checkpoints | none
  checkpoint_every: 10    # a checkpoint every so many records; runs resume from it
"""

_DIGITS = (
    """\
# Rate R, distortion D and classification loss C of 8 x 8 digits with a finite latent alphabet: every average over
# z is an exact sum, so J = -E log Z is exact. C is held constant while lam and gamma move (iso-classification).
name: digits              # letters, digits, dots, dashes and underscores
seed: 0                   # fixes the choice of data, the initial theta and all noise
dtype: float64            # float64 | float32; float32 cannot reach tight equilibria
device: auto              # auto | cpu | cuda | cuda:N
data:
  source:
    name: digits          # digits | mnist | fashion_mnist | cifar10 | image_folder | npz
    classes: all          # or a list of labels, such as [0, 1, 2, 3, 4]
    limit: 300            # keep this many data; null for all
objective:
  kind: finite_latent     # the encoder is the Gibbs measure e(z|x) = m(z) d(x|z)^lam c(y|z)^gamma / Z
  alphabet_size: 16       # number of codes z; R is at most log 16 nats
  decoder:
    kind: table           # one free distribution d(x|z) for each code
    likelihood: gaussian  # gaussian: D is a squared error | bernoulli: D is a cross-entropy, x in [0, 1]
    variance: 0.05        # of the gaussian likelihood, per pixel; it sets the scale of D
  weight_prior_precision: 1.0e-3   # rho of rho/2 |theta|^2 in J: removes flat directions of A
start:
  lam: 0.5                # multiplier of D in J = R + lam D + gamma C
  gamma: 4.0              # multiplier of C
  equilibrate:            # how the first minimum of J is found
    adam_steps: 1000      # full-batch Adam, then trust-region Newton to a true equilibrium
process:
  kind: iso_classification   # hold C | prescribed: give lam and gamma as functions of the clock
  span: [0.0, 0.5]        # first and last value of the clock
  clock: multipliers      # unit speed in (lam, gamma) | rate_distortion: in (R, D) | lam: of lam | alpha: alpha = 1
  on_fold: stop           # where a branch of minima ends: stop | relax to the minimum that takes over
"""
    + _COMMON_TAIL
)

_VAE = (
    """\
# Iso-classification of a variational autoencoder with a classifier: encoder, decoder and classifier are networks and
# all part of theta; J = R + lam D + gamma C is estimated on frozen noise, so that it is a function of theta.
name: vae                 # letters, digits, dots, dashes and underscores
seed: 0                   # fixes the choice of data, the initial theta and all noise
dtype: float64            # float64 | float32; float32 cannot reach tight equilibria
device: auto              # auto | cpu | cuda | cuda:N
data:
  source:
    name: digits          # digits | mnist | fashion_mnist | cifar10 | image_folder | npz
    classes: all          # or a list of labels, such as [0, 1, 2, 3, 4]
    limit: 500            # keep this many data; null for all
  # target: {name: digits, classes: [5, 6, 7, 8, 9]}   # for a transfer: what the source becomes
  # path: mixture         # mixture | optimal_transport: how the data move from source to target
  validation_fraction: 0.2   # share of source and target that the dynamics never see
  # validation: {source: {name: mnist, split: test}}   # or data sets that are held out in place of a share
  # root: data            # folder that holds MNIST, relative to this file; null: what RDC_DYN_DATA names
  # download: false       # let torchvision download what is missing from root
objective:
  kind: amortised         # the encoder e(z|x) is a network | importance_weighted: and weights on its samples
  encoder:
    kind: mlp
    hidden: [32]          # widths of the hidden layers
    latent_dim: 4         # dimensions of z
    activation: tanh      # tanh | softplus | silu | gelu | sigmoid: smooth, because A needs second derivatives
  decoder:
    kind: mlp
    hidden: [32]
    likelihood: gaussian  # gaussian: D is a squared error | bernoulli: D is a cross-entropy, x in [0, 1]
    variance: 0.05        # of the gaussian likelihood, per pixel; it sets the scale of D
  classifier:
    kind: linear          # c(y|z): softmax of a linear map of z
  samples: 8              # frozen scrambled-Sobol points z per datum; fewer are learnt by heart
  # importance_samples: 8 # of importance_weighted: 1 is the amortised bound, many the Gibbs encoder
  weight_prior_precision: 1.0e-2   # rho of rho/2 |theta|^2 in J: makes A definite at a minimum
start:
  lam: 0.5                # multiplier of D in J = R + lam D + gamma C
  gamma: 4.0              # multiplier of C
  # from: runs/earlier    # or take theta from the last checkpoint of another run
  equilibrate:            # how the first minimum of J is found
    adam_steps: 1000      # full-batch Adam, then trust-region Newton to a true equilibrium
    learning_rate: 1.0e-2 # Adam's largest learning rate
    newton_steps: 500     # most trust-region steps
process:
  kind: iso_classification   # hold C | prescribed: give lam and gamma as functions of the clock
  span: [0.0, 1.0]        # first and last value of the clock
  clock: multipliers      # unit speed in (lam, gamma) | rate_distortion: in (R, D) | lam: of lam | alpha: alpha = 1
  on_fold: relax          # a network's path is a chain of branches: go on at the minimum that takes over | stop
"""
    + _COMMON_TAIL
)

_VAE_SECANT = """\
# A path without linear solves, for networks where these are too dear: d(R, D, C)/d(lam, gamma) comes from the path's
# own history, minibatches equilibrate, and a pull in the vector field holds C. Nothing here needs the Hessian of J.
name: vae-secant          # letters, digits, dots, dashes and underscores
seed: 0                   # fixes the choice of data, the initial theta, all noise and all minibatches
dtype: float64            # float64 | float32
device: auto              # auto | cpu | cuda | cuda:N
data:
  source: {name: digits}  # all 1,797 of them
  validation_fraction: 0.2   # share of the source that the dynamics never see
objective:
  kind: amortised         # the encoder e(z|x) is a network
  encoder: {kind: mlp, hidden: [32], latent_dim: 4}   # widths of the hidden layers, dimensions of z
  decoder: {kind: mlp, hidden: [32], likelihood: bernoulli}   # D is a cross-entropy, x in [0, 1]
  classifier: {kind: linear}   # c(y|z): softmax of a linear map of z
  samples: 8              # frozen scrambled-Sobol points z per datum
  weight_prior_precision: 1.0e-3   # rho of rho/2 |theta|^2 in J
start:
  lam: 0.5                # multiplier of D in J = R + lam D + gamma C
  gamma: 4.0              # multiplier of C
  equilibrate:            # Adam alone, to a loose tolerance
    adam_steps: 3000      # on minibatches; what it reaches is |grad J| of the first point
    batch: 256            # data in a minibatch
    newton_steps: 0       # no Newton: its products with A are what this run avoids
    tolerance: 1.0        # on |grad J|
process:
  kind: iso_classification   # hold C
  span: [0.0, 1.0]        # first and last value of the clock
response:
  kind: secant            # linear_response: solve with A | finite_difference: equilibrate at lam + delta, gamma + delta
  start: guess            # guess: the first steps are short and explore | linear_response: one solve, at the start
integrator:
  method: euler           # M is frozen inside a step, so that no other method is of higher order
  step_size: 0.1          # far above what minibatches leave undecided; the pull towards C has the rate 1 / step_size
corrector:                # brings theta back towards grad J = 0 after every step
  method: gradient        # gradient (the paper's Adam) | variance_reduced | newton_krylov, with solves
  steps: 200              # of Adam
  batch: 256              # data in a minibatch
"""

_LINEAR_GAUSSIAN = (
    """\
# Linear-Gaussian model: z ~ N(0, I), x|z and y|z Gaussian with linear means, the encoder is the Gibbs measure. Only
# the second moment S of (x, y) enters, F, R, D and C have closed forms, and every number can be checked against them.
name: linear-gaussian     # letters, digits, dots, dashes and underscores
seed: 0                   # fixes the initial theta
dtype: float64            # float64 | float32; float32 cannot reach tight equilibria
device: cpu               # auto | cpu | cuda | cuda:N
objective:
  kind: linear_gaussian
  x_dim: 3                # dimensions of x
  y_dim: 1                # dimensions of y
  latent_dim: 2           # dimensions of z
  distortion_variance: 0.5   # sigma^2 of d(x|z) = N(W z, sigma^2 I)
  label_variance: 0.2     # tau^2 of c(y|z) = N(V z, tau^2 I)
  source_second_moment:   # S = E (x, y)(x, y)': symmetric, positive semidefinite, x_dim + y_dim each way
    - [2.0, 0.3, 0.1, 0.8]
    - [0.3, 1.0, 0.2, 0.1]
    - [0.1, 0.2, 0.5, 0.2]
    - [0.8, 0.1, 0.2, 1.0]
  weight_prior_precision: 0.0   # rho of rho/2 |theta|^2 in J; 0 keeps the closed forms exact
start:
  lam: 1.0                # multiplier of D in J = R + lam D + gamma C
  gamma: 1.0              # multiplier of C
process:
  kind: prescribed        # lam and gamma are given | iso_classification: hold C
  span: [0.0, 1.0]        # first and last value of the clock
  path:                   # the value at the end, from start; or [first, last]
    lam: 2.0
    gamma: 3.0
  shape: exponential      # linear | exponential: straight in log lam and log gamma
  on_fold: stop           # where a branch of minima ends: stop | relax to the minimum that takes over
"""
    + _COMMON_TAIL
)

_TEMPLATES = {
    "digits": ("8 x 8 digits, finite latent alphabet, exact sums, iso-classification", _DIGITS),
    "vae": ("8 x 8 digits, variational autoencoder with classifier, iso-classification", _VAE),
    "vae-secant": ("8 x 8 digits, variational autoencoder, minibatches and secants in place of solves", _VAE_SECANT),
    "linear-gaussian": ("closed forms to check every number against, prescribed path", _LINEAR_GAUSSIAN),
}


def templates() -> dict[str, str]:
    """The name of each template with a line of description."""
    return {name: description for name, (description, _) in _TEMPLATES.items()}


def template(name: str = "digits") -> str:
    """The YAML text of a template; a UserError reports an unknown name."""
    if name not in _TEMPLATES:
        raise UserError(f"no template '{name}'; choose one of: {', '.join(_TEMPLATES)}")
    return _TEMPLATES[name][1]

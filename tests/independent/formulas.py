"""The paper's formulas in numpy, one function each, written from its text alone.

They share no code and no way of computing with the package, which may not be imported here, nor
torch: a subspace is its orthogonal projector, so that no formula depends on a choice of basis, and
gradients are backpropagated by hand. Matrices are those of one trial, float64; X is (d, N) and Y
(K, N).
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


class Activation(NamedTuple):
    """phi and phi', entry by entry."""

    value: Callable[[Matrix], Matrix]
    slope: Callable[[Matrix], Matrix]


class Objective(NamedTuple):
    """A loss of outputs and targets, both (K, N), and its gradient in the outputs."""

    value: Callable[[Matrix, Matrix], float]
    gradient: Callable[[Matrix, Matrix], Matrix]


# Activations (section 2)


def elu(z: Matrix) -> Matrix:
    """Return z for z > 0, exp(z) - 1 below."""
    return np.maximum(z, 0) + np.expm1(np.minimum(z, 0))


def elu_slope(z: Matrix) -> Matrix:
    return np.exp(np.minimum(z, 0))


def normal_distribution(z: Matrix) -> Matrix:
    """Return P(Z <= z) of a standard normal Z."""
    return (1 + np.vectorize(math.erf)(z / math.sqrt(2))) / 2


def gelu(z: Matrix) -> Matrix:
    """Return z P(Z <= z)."""
    return z * normal_distribution(z)


def gelu_slope(z: Matrix) -> Matrix:
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return normal_distribution(z) + z * density


def sigmoid(z: Matrix) -> Matrix:
    return 1 / (1 + np.exp(-z))


def silu(z: Matrix) -> Matrix:
    """Return z sigmoid(z)."""
    return z * sigmoid(z)


def silu_slope(z: Matrix) -> Matrix:
    return sigmoid(z) * (1 + z * (1 - sigmoid(z)))


def tanh_slope(z: Matrix) -> Matrix:
    return 1 / np.cosh(z) ** 2


def relu(z: Matrix) -> Matrix:
    return np.maximum(z, 0)


def relu_slope(z: Matrix) -> Matrix:
    return np.where(z > 0, 1.0, 0.0)


ACTIVATIONS = {
    "elu": Activation(elu, elu_slope),
    "gelu": Activation(gelu, gelu_slope),
    "silu": Activation(silu, silu_slope),
    "tanh": Activation(np.tanh, tanh_slope),
    "relu": Activation(relu, relu_slope),
}


# Losses (section 2; of cross-entropy the mean over samples, a declared choice)


def squared_error(outputs: Matrix, targets: Matrix) -> float:
    """Return 1/2 ||f(X) - Y||_F^2."""
    return float(np.sum((outputs - targets) ** 2)) / 2


def residual(outputs: Matrix, targets: Matrix) -> Matrix:
    """Return Delta = f(X) - Y."""
    return outputs - targets


def softmax(outputs: Matrix) -> Matrix:
    """Return exp(f_k) / sum_j exp(f_j) of each sample."""
    return np.exp(outputs) / np.sum(np.exp(outputs), axis=0)


def cross_entropy(outputs: Matrix, targets: Matrix) -> float:
    """Return the mean of -log softmax at the class of a sample."""
    samples = outputs.shape[1]
    return -float(np.sum(targets * np.log(softmax(outputs)))) / samples


def cross_entropy_gradient(outputs: Matrix, targets: Matrix) -> Matrix:
    samples = outputs.shape[1]
    return (softmax(outputs) - targets) / samples


OBJECTIVES = {
    "squared_error": Objective(squared_error, residual),
    "cross_entropy": Objective(cross_entropy, cross_entropy_gradient),
}


def accuracy(outputs: Matrix, targets: Matrix) -> float:
    """Return the fraction of samples whose largest output is that of their class."""
    return float(np.mean(np.argmax(outputs, axis=0) == np.argmax(targets, axis=0)))


# Networks and their gradients


def mlp(weights: Sequence[Matrix], phi: Activation, inputs: Matrix) -> Matrix:
    """Return f(X) = W_L phi(W_{L-1} phi(... phi(W_1 X))) (section 2)."""
    *hidden, last = weights
    features = inputs
    for weight in hidden:
        features = phi.value(weight @ features)
    return last @ features


def mlp_gradients(
    weights: Sequence[Matrix], phi: Activation, inputs: Matrix, pull: Matrix
) -> list[Matrix]:
    """Return G_1 .. G_L by backpropagation; `pull` (K, N) is the loss's gradient in the outputs.

    G_L = pull H_{L-1}', and G_l = B_l H_{l-1}' with B_l = W_{l+1}' B_{l+1} * phi'(Z_l), B_L = pull.
    """
    *hidden, last = weights
    features = [inputs]
    slopes = []
    for weight in hidden:
        z = weight @ features[-1]
        features.append(phi.value(z))
        slopes.append(phi.slope(z))
    gradients = [pull @ features.pop().T]
    above, back = last, pull
    for weight in reversed(hidden):
        back = above.T @ back * slopes.pop()
        gradients.append(back @ features.pop().T)
        above = weight
    return gradients[::-1]


def two_layer_gradient(
    first: Matrix, last: Matrix, phi: Activation, inputs: Matrix, targets: Matrix
) -> Matrix:
    """Return G_1 = (W_2' Delta_2 * phi'(W_1 X)) X', of the squared error (section 3)."""
    delta = last @ phi.value(first @ inputs) - targets
    return (last.T @ delta * phi.slope(first @ inputs)) @ inputs.T


class LowRank(NamedTuple):
    """The matrices of the low-rank MLP: V~ (d, r), W~_1 .. W~_{L-1} (r, r), U~ (m, r), W_L (K, m);
    or its gradient in each of them.
    """

    v: Matrix
    cores: list[Matrix]
    u: Matrix
    last: Matrix

    @property
    def matrices(self) -> list[Matrix]:
        """All of them, in the order of the forward pass."""
        return [self.v, *self.cores, self.u, self.last]


def low_rank_mlp(network: LowRank, phi: Activation, inputs: Matrix) -> Matrix:
    """Return W_L phi(U~ W~_{L-1} phi(W~_{L-2} ... phi(W~_1 V~' X))) (equation 10)."""
    features = network.v.T @ inputs
    for core in network.cores[:-1]:
        features = phi.value(core @ features)
    return network.last @ phi.value(network.u @ network.cores[-1] @ features)


def low_rank_gradients(network: LowRank, phi: Activation, inputs: Matrix, pull: Matrix) -> LowRank:
    """Return the gradient in each matrix of equation 10, by the chain rule of products.

    It is an MLP on V~' X whose last hidden matrix is P = U~ W~_{L-1}: if G is the gradient in P,
    those in U~ and W~_{L-1} are G W~_{L-1}' and U~' G. With M its first matrix, W~_1 or P, it is
    also an MLP on X whose first matrix is M V~': if G is the gradient in that, the one in V~ is
    G' M.
    """
    product = network.u @ network.cores[-1]
    weights = [*network.cores[:-1], product, network.last]
    *of_cores, of_product, of_last = mlp_gradients(weights, phi, network.v.T @ inputs, pull)
    through = [weights[0] @ network.v.T, *weights[1:]]
    of_first = mlp_gradients(through, phi, inputs, pull)[0]
    return LowRank(
        v=of_first.T @ weights[0],
        cores=[*of_cores, network.u.T @ of_product],
        u=of_product @ network.cores[-1].T,
        last=of_last,
    )


def descent_step(
    weights: Sequence[Matrix], gradients: Sequence[Matrix], eta: float
) -> list[Matrix]:
    """Return Theta - eta grad (section 2)."""
    moved = []
    for weight, gradient in zip(weights, gradients, strict=True):
        moved.append(weight - eta * gradient)
    return moved


def cosine_rate(eta: float, step: int, steps: int) -> float:
    """Return eta at a step of a cosine schedule, which ends at 0."""
    return eta * math.cos(math.pi * step / (2 * steps)) ** 2


def whitened(inputs: Matrix) -> Matrix:
    """Return (X X')^{-1/2} X (section 3)."""
    values, vectors = np.linalg.eigh(inputs @ inputs.T)
    return vectors @ np.diag(values**-0.5) @ vectors.T @ inputs


# Subspaces, as orthogonal projectors


def complement(projector: Matrix) -> Matrix:
    """Return the projector onto the orthogonal complement."""
    return np.eye(len(projector)) - projector


def left_subspace(matrix: Matrix, first: int, last: int) -> Matrix:
    """Return the projector onto the left singular vectors `first` to `last`, counted from 1, of
    positive singular values. The right singular vectors are the left ones of M'.

    The eigenvalues of [0 M; M' 0] are the singular values and their negatives, with eigenvectors
    [u; v] / sqrt(2). Those of M M' would cost half of the digits of small singular values.
    """
    rows, columns = matrix.shape
    symmetric = np.zeros((rows + columns, rows + columns))
    symmetric[:rows, rows:] = matrix
    symmetric[rows:, :rows] = matrix.T
    _, vectors = np.linalg.eigh(symmetric)
    left = math.sqrt(2) * vectors[:rows, ::-1]
    basis = left[:, first - 1 : last]
    return basis @ basis.T


def range_of(matrix: Matrix, dimension: int) -> Matrix:
    """Return the projector onto the range of a matrix of this rank."""
    return left_subspace(matrix, 1, dimension)


def intersection(one: Matrix, other: Matrix, dimension: int) -> Matrix:
    """Return the projector onto the intersection of two ranges: (1 - P) + (1 - Q), positive
    semidefinite, is zero there and nowhere else.
    """
    outside = complement(one) + complement(other)
    _, vectors = np.linalg.eigh(outside)
    basis = vectors[:, :dimension]
    return basis @ basis.T


def s_small(weight: Matrix, gradient: Matrix, classes: int, eps: float) -> Matrix:
    """Return the projector onto S_small = range(R_{1,2}(0)) intersected with the complement of
    range(W_1(0)' L_{1,1}(0) / eps), of dimension p = d - 2K (section 3).
    """
    d = weight.shape[1]
    r_12 = complement(left_subspace(gradient.T, 1, classes))
    l_11 = left_subspace(gradient, 1, classes)
    image = range_of(weight.T @ l_11 / eps, classes)
    return intersection(r_12, complement(image), d - 2 * classes)


def s_big(weight: Matrix, gradient: Matrix, classes: int, eps: float) -> Matrix:
    """Return the projector onto S_big, the orthogonal complement of S_small."""
    return complement(s_small(weight, gradient, classes, eps))


class Layer(NamedTuple):
    """The projectors onto the ranges of U_{l,2} and V_{l,2}."""

    u_2: Matrix
    v_2: Matrix


def layers(weights: Sequence[Matrix], small: Matrix, eps: float) -> list[Layer]:
    """Return those of V_{1,2} = S_small, V_{l,2} = U_{l-1,2} and U_{l,2} = W_l(0) V_{l,2} / eps, of
    hidden weights W_l(0)' W_l(0) = eps^2 I: U U' = W V V' W' / eps^2.
    """
    result = []
    v_2 = small
    for weight in weights:
        u_2 = weight @ v_2 @ weight.T / eps**2
        result.append(Layer(u_2, v_2))
        v_2 = u_2
    return result


def layers_of_any_weights(weights: Sequence[Matrix], small: Matrix) -> list[Layer]:
    """Return the same for hidden weights of any kind, where U_{l,2} spans W_l(0) V_{l,2}."""
    dimension = round(float(np.trace(small)))
    result = []
    v_2 = small
    for weight in weights:
        u_2 = range_of(weight @ v_2, dimension)
        result.append(Layer(u_2, v_2))
        v_2 = u_2
    return result


def block_norms(matrix: Matrix, layer: Layer) -> Matrix:
    """Return the norms of the blocks 1 to 4 of U' M V: ||U_i' M V_j||_F = ||U_i U_i' M V_j V_j'||_F
    (theorem 3.5).
    """
    u_1, v_1 = complement(layer.u_2), complement(layer.v_2)
    blocks = [
        u_1 @ matrix @ v_1,
        u_1 @ matrix @ layer.v_2,
        layer.u_2 @ matrix @ v_1,
        layer.u_2 @ matrix @ layer.v_2,
    ]
    return np.linalg.norm(blocks, axis=(1, 2))


def block_shares(change: Matrix, layer: Layer) -> Matrix:
    """Return ||W~_{l,i}(t) - W~_{l,i}(0)||_F^2 / ||W~_l(t) - W~_l(0)||_F^2, i = 1 .. 4 (figures 3
    to 5).
    """
    return block_norms(change, layer) ** 2 / np.linalg.norm(change) ** 2


# Distances of subspaces (section 2)


def sine_distance(one: Matrix, other: Matrix) -> float:
    """Return ||sin Theta||_2 = sqrt(sum_i sin^2 theta_i), which is ||P - Q||_F / sqrt(2)."""
    return float(np.linalg.norm(one - other)) / math.sqrt(2)


def principal_angles(one: Matrix, other: Matrix) -> Matrix:
    """Return the principal angles between two ranges of one dimension k, descending, in radians.

    The eigenvalues of P - Q are the sines and their negatives, the singular values of Q P + (1 - Q)
    (1 - P) the cosines, each twice unless it is 1; what both have besides stands for angles of 0.
    """
    k = round(float(np.trace(one)))
    sines = np.linalg.eigvalsh(one - other)[::-1][:k]
    rotation = other @ one + complement(other) @ complement(one)
    twice = np.linalg.svd(rotation, compute_uv=False)[::-1]
    cosines = np.ones(k)
    different = twice[: 2 * k : 2]
    cosines[: len(different)] = different
    return np.arctan2(np.maximum(sines, 0), cosines)


# The bound of theorem 3.5


def rotation_of_gradient(gradient: Matrix, initial: Matrix, classes: int) -> float:
    """Return A(t) = max(||sin Theta(L_{1,1}(t), L_{1,1}(0))||_2, the same of R_{1,1})."""
    distances = []
    for now, start in ((gradient, initial), (gradient.T, initial.T)):
        top, top_at_start = left_subspace(now, 1, classes), left_subspace(start, 1, classes)
        distances.append(sine_distance(top, top_at_start))
    return max(distances)


def rho(gradient: Matrix, initial: Matrix, classes: int) -> float:
    """Return sqrt(sigma_1(G_1(t))^2 A(t)^2 / p + sigma_{K+1}(G_1(t))^2)."""
    p = gradient.shape[1] - 2 * classes
    sigma = np.linalg.svd(gradient, compute_uv=False)
    a = rotation_of_gradient(gradient, initial, classes)
    return math.sqrt(sigma[0] ** 2 * a**2 / p + sigma[classes] ** 2)


# What is said of an MLP before training


def derivative_spread(slopes: Matrix) -> float:
    """Return the distance of phi'(W_1 X) from the nearest constant matrix, relative to its norm."""
    return float(np.std(slopes) / np.sqrt(np.mean(slopes**2)))


def spread_of_start(weight: Matrix) -> float:
    """Return sigma_1(W) relative to s (sqrt(m) + sqrt(d)), with s the size of an entry."""
    m, d = weight.shape
    size = np.sqrt(np.mean(weight**2))
    return float(np.linalg.norm(weight, 2) / (size * (math.sqrt(m) + math.sqrt(d))))

// Cross entropy of class labels and its gradient, row by row: loss.cu, where the formulas are, and
// linear_cross_entropy.cu are made of it. `x` and `dx` are where a row begins; its elements are `inner` apart.
#pragma once
#include "accumulate.cuh"
#include "ptx.cuh"
#include "team.cuh"

enum Reduction { NONE = 0, SUM = 1, MEAN = 2 };

struct Labels {
    const long long* target;
    const scalar_t* class_weight;
    index_t rows;
    int classes;
    index_t inner;
    long long ignore_index;

    // The class that the label of a row names, or -1
    __device__ __forceinline__ int of(index_t row) const {
        const long long label = target[row];
        return label < 0 || label >= classes || label == ignore_index ? -1 : (int)label;
    }
    __device__ __forceinline__ acc_t weight(int label) const {
        return label < 0 ? acc_t(0) : class_weight == nullptr ? acc_t(1) : acc_t(class_weight[label]);
    }
    // Where the elements of a row begin
    __device__ __forceinline__ index_t start(index_t row) const {
        return row / inner * inner * classes + row % inner;
    }
};

// The sum of the weights of all labels, by all threads of a block; or of `parts`, which `label_weights` made of them
__device__ __forceinline__ acc_t total_weight(const Labels& labels, const acc_t* parts, int count) {
    Sum sum = {0};
    if (parts != nullptr) {
        for (int i = Block::rank(); i < count; i += Block::size()) sum.value += parts[i];
    } else {
        for (index_t row = Block::rank(); row < labels.rows; row += Block::size())
            sum.value += labels.weight(labels.of(row));
    }
    return Block::reduce(sum).value;
}

// Of the logits of a row: m, s, and of all classes the sums of w (x - m) and of w, where labels are smoothed.
struct RowOfLogits {
    Exponentials e;
    Sums spread;
};

template <class Team>
__device__ __forceinline__ RowOfLogits row_of_logits(
    const scalar_t* x, const Labels& labels, int end, acc_t smooth) {
    RowOfLogits row = {row_exponentials<Team>(x, end, labels.inner), {0, 0}};
    row.e.s += row.e.m - row.e.m;  // NaN for an infinite x, as inf - inf is
    if (smooth != 0) {
        for (int c = Team::rank(); c < end; c += Team::size()) {
            const acc_t w = labels.weight(c);
            row.spread.first = fma(w, acc_t(x[c * labels.inner]) - row.e.m, row.spread.first);
            row.spread.second += w;
        }
        row.spread = Team::reduce(row.spread);
    }
    return row;
}

__device__ __forceinline__ acc_t loss_of_row(
    const RowOfLogits& row, const scalar_t* x, const Labels& labels, int label, acc_t sharp, acc_t smooth) {
    if (label < 0) return 0;
    const acc_t log_s = log(row.e.s);
    const acc_t hard = (log_s - (acc_t(x[label * labels.inner]) - row.e.m)) * labels.weight(label) * sharp;
    return fma(smooth, fma(row.spread.second, log_s, -row.spread.first), hard);
}

// The gradient in the unweighted loss of a row
__device__ __forceinline__ acc_t row_gradient(
    const scalar_t* dy, index_t row, int label, int reduction, acc_t divisor) {
    return label < 0 ? acc_t(0) : acc_t(dy[reduction == NONE ? row : 0]) / divisor;
}

// dx of a row with the gradient g in its unweighted loss; `all` is the sum of the weights of all classes.
template <class Team>
__device__ __forceinline__ void write_gradient(
    acc_t g, const scalar_t* x, const Labels& labels, int end, int label, const Exponentials& of, acc_t all,
    scalar_t* dx, acc_t sharp, acc_t smooth) {
    const acc_t hard = g * labels.weight(label) * sharp, soft = g * smooth, factor = fma(soft, all, hard) / of.s;
    for (int c = Team::rank(); c < end; c += Team::size()) {
        const acc_t e = exp(acc_t(x[c * labels.inner]) - of.m);
        const acc_t v = fma(e, factor, c == label ? -hard : acc_t(0));
        dx[c * labels.inner] = smooth != 0 ? fma(-soft, labels.weight(c), v) : v;
    }
}

// The losses of some rows, the weights of their labels, and how many of these are none
struct Tally {
    acc_t loss, weight, bad;

    __device__ __forceinline__ Tally of_lane(int lane) const {
        return {from_lane(loss, lane), from_lane(weight, lane), from_lane(bad, lane)};
    }
    __device__ __forceinline__ void merge(const Tally& other) {
        loss += other.loss;
        weight += other.weight;
        bad += other.bad;
    }
};

// A row for a team: its gradient, and in parts (3, rows) its loss, the weight of its label, and whether that is no
// class. Without a row a team only takes part.
template <class Team>
__device__ __forceinline__ void loss_and_gradient(
    const scalar_t* dy, const scalar_t* x, const Labels& labels, index_t row, bool exists, acc_t divisor,
    acc_t* parts, scalar_t* dx, int reduction, acc_t sharp, acc_t smooth) {
    const index_t rows = labels.rows;
    const int end = exists ? labels.classes : 0;
    const RowOfLogits logits = row_of_logits<Team>(x, labels, end, smooth);
    if (!exists) return;
    const int label = labels.of(row);
    if (Team::rank() == 0) {
        parts[row] = loss_of_row(logits, x, labels, label, sharp, smooth);
        parts[rows + row] = labels.weight(label);
        parts[2 * rows + row] = label < 0 && labels.target[row] != labels.ignore_index;
    }
    const acc_t g = row_gradient(dy, row, label, reduction, divisor);
    write_gradient<Team>(g, x, labels, end, label, logits.e, logits.spread.second, dx, sharp, smooth);
}

// The sum or the mean of the losses, by the last block that comes. It notes in `found` the first label that is no
// class, where nothing is noted yet: its place and its value.
__device__ __forceinline__ void finish_loss(
    const Labels& labels, const acc_t* parts, unsigned* arrived, scalar_t* result, long long* found, int reduction) {
    if (!comes_last(arrived, gridDim.x)) return;
    const index_t rows = labels.rows;
    Tally tally = {0, 0, 0};
    for (index_t i = Block::rank(); i < rows; i += Block::size())
        tally.merge({parts[i], parts[rows + i], parts[2 * rows + i]});
    tally = Block::reduce(tally);
    if (Block::rank() != 0) return;
    *result = reduction == MEAN ? tally.loss / tally.weight : tally.loss;
    if (tally.bad == 0 || found[0] >= 0) return;
    index_t first = 0;
    while (parts[2 * rows + first] == 0) ++first;
    found[0] = first;
    found[1] = labels.target[first];
}

// Losses on class labels: cross entropy of logits, and negative log likelihood.
//
//   x (outer, classes, inner) and a label y for each of the rows = outer * inner;  m = max x,  s = sum of e^(x_c - m)
//
//   l = sum of q_c w_c (ln s - (x_c - m))         q = (1 - e) I_y + e / classes, e the label smoothing, w class weights
//   dx_c = g (S_c sum of q_k w_k - q_c w_c)       S_c = e^(x_c - m) / s;  (S - I_y) g for w = 1 and e = 0
//   l = -w_y x_y,  dx_c = -g w_y I_yc             negative log likelihood
//
// (Goodfellow et al. 2016, 6.2.2.) S is never rounded before its logarithm is taken. g is the gradient of the row's
// loss: for a mean it is divided by the sum of the labels' weights w_y. A label that is `ignore_index` has loss, weight
// and gradient 0; so has a label that is no class, which the host makes an error of, but which is never an index here.
//
// A row belongs to a team (team.cuh), each a rung of the ladder: naive, one thread, for few classes or inner > 1; warp;
// block. Forward x is read once (with label smoothing twice), backward once.
//
// The sum over the rows is made in an order that depends on shapes only: each block adds up the losses of its rows and
// the weights of their labels. If there is only one block that is all, else it writes them into `parts`, which
// `loss_total` adds up, and before it `loss_partial` where there are many.
//
// `cross_entropy_gradient` makes loss and gradient in one launch, for a training step, where the gradient in the loss is
// known before. It looks at the labels too.
//
// compiled for scalar_t = float32, float64, float16, bfloat16
#include "labels.cuh"

__device__ __forceinline__ acc_t reduced(const Sums& sums, int reduction) {
    return reduction == MEAN ? sums.first / sums.second : sums.first;
}

// What becomes of the losses of a block's rows: results; or their sum and that of the weights, which are the result if
// there is no other block, else a part (2, blocks) of it. All threads must come; those that have no row bring zeros.
__device__ __forceinline__ void store_losses(
    acc_t loss, acc_t weight, index_t row, bool has_row, scalar_t* each, acc_t* parts, scalar_t* result,
    int reduction) {
    if (each != nullptr) {
        if (has_row) each[row] = loss;
        return;
    }
    const Sums sums = Block::reduce(Sums{loss, weight});
    if (Block::rank() != 0) return;
    if (result != nullptr) {
        *result = reduced(sums, reduction);
    } else {
        parts[blockIdx.x] = sums.first;
        parts[gridDim.x + blockIdx.x] = sums.second;
    }
}

// The sums of parts (2, count) from `begin` on, by all threads of a block
__device__ __forceinline__ Sums add_up(const acc_t* parts, index_t count, index_t begin, index_t step) {
    Sums sums = {0, 0};
    for (index_t i = begin; i < count; i += step) sums.merge({parts[i], parts[count + i]});
    return Block::reduce(sums);
}

template <class Team>
__device__ __forceinline__ void cross_entropy(
    const scalar_t* __restrict__ x, const Labels& labels, scalar_t* each, acc_t* parts, scalar_t* result,
    acc_t* __restrict__ m, acc_t* __restrict__ s, int reduction, acc_t sharp, acc_t smooth) {
    const index_t row = Team::row();
    const bool exists = row < labels.rows;
    x += labels.start(row);
    const RowOfLogits logits = row_of_logits<Team>(x, labels, exists ? labels.classes : 0, smooth);
    const bool has_row = exists && Team::rank() == 0;
    acc_t loss = 0, weight = 0;
    if (has_row) {
        const int label = labels.of(row);
        loss = loss_of_row(logits, x, labels, label, sharp, smooth);
        weight = labels.weight(label);
        m[row] = logits.e.m;
        s[row] = logits.e.s;
    }
    store_losses(loss, weight, row, has_row, each, parts, result, reduction);
}

template <class Team>
__device__ __forceinline__ void cross_entropy_backward(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x, const Labels& labels, const acc_t* __restrict__ m,
    const acc_t* __restrict__ s, const acc_t* __restrict__ parts, int part_count, scalar_t* __restrict__ dx,
    int reduction, acc_t sharp, acc_t smooth) {
    const acc_t divisor = reduction == MEAN ? total_weight(labels, parts, part_count) : acc_t(1);
    const index_t row = Team::row(), start = labels.start(row);
    const int end = row < labels.rows ? labels.classes : 0;
    Sum all_classes = {0};
    if (smooth != 0) {
        for (int c = Team::rank(); c < end; c += Team::size()) all_classes.value += labels.weight(c);
        all_classes = Team::reduce(all_classes);
    }
    if (end == 0) return;
    const int label = labels.of(row);
    const acc_t g = row_gradient(dy, row, label, reduction, divisor), all = all_classes.value;
    write_gradient<Team>(g, x + start, labels, end, label, {m[row], s[row]}, all, dx + start, sharp, smooth);
}

template <class Team>
__device__ __forceinline__ void cross_entropy_gradient(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x, scalar_t* __restrict__ dx, const Labels& labels,
    acc_t* __restrict__ parts, const acc_t* __restrict__ weights, int weight_count, unsigned* __restrict__ arrived,
    scalar_t* __restrict__ result, long long* __restrict__ found, int reduction, acc_t sharp, acc_t smooth) {
    const acc_t divisor = reduction == MEAN ? total_weight(labels, weights, weight_count) : acc_t(1);
    const index_t row = Team::row(), start = labels.start(row);
    const bool exists = row < labels.rows;
    loss_and_gradient<Team>(dy, x + start, labels, row, exists, divisor, parts, dx + start, reduction, sharp, smooth);
    finish_loss(labels, parts, arrived, result, found, reduction);
}

template <class Team>
__device__ __forceinline__ void nll_backward(
    const scalar_t* __restrict__ dy, const Labels& labels, const acc_t* __restrict__ parts, int part_count,
    scalar_t* __restrict__ dx, int reduction) {
    const acc_t divisor = reduction == MEAN ? total_weight(labels, parts, part_count) : acc_t(1);
    const index_t row = Team::row(), start = labels.start(row);
    if (row >= labels.rows) return;
    const int label = labels.of(row);
    const acc_t value = -row_gradient(dy, row, label, reduction, divisor) * labels.weight(label);
    for (int c = Team::rank(); c < labels.classes; c += Team::size())
        dx[start + c * labels.inner] = c == label ? value : acc_t(0);
}

// sharp = 1 - e, smooth = e / classes
extern "C" __global__ void __launch_bounds__(512, 1) cross_entropy_forward_naive(
    const scalar_t* __restrict__ x, const long long* __restrict__ target,
    const scalar_t* __restrict__ weight,  // null: all 1
    scalar_t* __restrict__ each,          // null: the sum or mean is wanted
    acc_t* __restrict__ parts,            // null: each is wanted, or this is all in one block
    scalar_t* __restrict__ result,        // null: this is not all in one block
    acc_t* __restrict__ m, acc_t* __restrict__ s,
    long long rows, int classes, long long inner, int reduction, long long ignore_index, acc_t sharp, acc_t smooth) {
    const Labels labels = {target, weight, rows, classes, inner, ignore_index};
    cross_entropy<Alone>(x, labels, each, parts, result, m, s, reduction, sharp, smooth);
}

extern "C" __global__ void __launch_bounds__(512, 1) cross_entropy_forward_warp(
    const scalar_t* __restrict__ x, const long long* __restrict__ target,
    const scalar_t* __restrict__ weight,  // null: all 1
    scalar_t* __restrict__ each,          // null: the sum or mean is wanted
    acc_t* __restrict__ parts,            // null: each is wanted, or this is all in one block
    scalar_t* __restrict__ result,        // null: this is not all in one block
    acc_t* __restrict__ m, acc_t* __restrict__ s,
    long long rows, int classes, long long inner, int reduction, long long ignore_index, acc_t sharp, acc_t smooth) {
    const Labels labels = {target, weight, rows, classes, inner, ignore_index};
    cross_entropy<Warp>(x, labels, each, parts, result, m, s, reduction, sharp, smooth);
}

extern "C" __global__ void __launch_bounds__(512, 1) cross_entropy_forward_block(
    const scalar_t* __restrict__ x, const long long* __restrict__ target,
    const scalar_t* __restrict__ weight,  // null: all 1
    scalar_t* __restrict__ each,          // null: the sum or mean is wanted
    acc_t* __restrict__ parts,            // null: each is wanted, or this is all in one block
    scalar_t* __restrict__ result,        // null: this is not all in one block
    acc_t* __restrict__ m, acc_t* __restrict__ s,
    long long rows, int classes, long long inner, int reduction, long long ignore_index, acc_t sharp, acc_t smooth) {
    const Labels labels = {target, weight, rows, classes, inner, ignore_index};
    cross_entropy<Block>(x, labels, each, parts, result, m, s, reduction, sharp, smooth);
}

extern "C" __global__ void __launch_bounds__(256, 4) cross_entropy_backward_naive(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x, const long long* __restrict__ target,
    const scalar_t* __restrict__ weight,  // null: all 1
    const acc_t* __restrict__ m, const acc_t* __restrict__ s,
    const acc_t* __restrict__ parts,  // null: each block adds up the weights of the labels, for a mean
    scalar_t* __restrict__ dx, int part_count,
    long long rows, int classes, long long inner, int reduction, long long ignore_index, acc_t sharp, acc_t smooth) {
    const Labels labels = {target, weight, rows, classes, inner, ignore_index};
    cross_entropy_backward<Alone>(dy, x, labels, m, s, parts, part_count, dx, reduction, sharp, smooth);
}

extern "C" __global__ void __launch_bounds__(256, 4) cross_entropy_backward_warp(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x, const long long* __restrict__ target,
    const scalar_t* __restrict__ weight,  // null: all 1
    const acc_t* __restrict__ m, const acc_t* __restrict__ s,
    const acc_t* __restrict__ parts,  // null: each block adds up the weights of the labels, for a mean
    scalar_t* __restrict__ dx, int part_count,
    long long rows, int classes, long long inner, int reduction, long long ignore_index, acc_t sharp, acc_t smooth) {
    const Labels labels = {target, weight, rows, classes, inner, ignore_index};
    cross_entropy_backward<Warp>(dy, x, labels, m, s, parts, part_count, dx, reduction, sharp, smooth);
}

extern "C" __global__ void __launch_bounds__(256, 4) cross_entropy_backward_block(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x, const long long* __restrict__ target,
    const scalar_t* __restrict__ weight,  // null: all 1
    const acc_t* __restrict__ m, const acc_t* __restrict__ s,
    const acc_t* __restrict__ parts,  // null: each block adds up the weights of the labels, for a mean
    scalar_t* __restrict__ dx, int part_count,
    long long rows, int classes, long long inner, int reduction, long long ignore_index, acc_t sharp, acc_t smooth) {
    const Labels labels = {target, weight, rows, classes, inner, ignore_index};
    cross_entropy_backward<Block>(dy, x, labels, m, s, parts, part_count, dx, reduction, sharp, smooth);
}

extern "C" __global__ void __launch_bounds__(512, 1) cross_entropy_gradient_naive(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x, scalar_t* __restrict__ dx,
    const long long* __restrict__ target,
    const scalar_t* __restrict__ weight,  // null: all 1
    acc_t* __restrict__ parts,
    const acc_t* __restrict__ weights,  // null: each block adds up the weights of the labels, for a mean
    unsigned* __restrict__ arrived, scalar_t* __restrict__ result, long long* __restrict__ found, int weight_count,
    long long rows, int classes, long long inner, int reduction, long long ignore_index, acc_t sharp, acc_t smooth) {
    const Labels labels = {target, weight, rows, classes, inner, ignore_index};
    cross_entropy_gradient<Alone>(
        dy, x, dx, labels, parts, weights, weight_count, arrived, result, found, reduction, sharp, smooth);
}

extern "C" __global__ void __launch_bounds__(512, 1) cross_entropy_gradient_warp(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x, scalar_t* __restrict__ dx,
    const long long* __restrict__ target,
    const scalar_t* __restrict__ weight,  // null: all 1
    acc_t* __restrict__ parts,
    const acc_t* __restrict__ weights,  // null: each block adds up the weights of the labels, for a mean
    unsigned* __restrict__ arrived, scalar_t* __restrict__ result, long long* __restrict__ found, int weight_count,
    long long rows, int classes, long long inner, int reduction, long long ignore_index, acc_t sharp, acc_t smooth) {
    const Labels labels = {target, weight, rows, classes, inner, ignore_index};
    cross_entropy_gradient<Warp>(
        dy, x, dx, labels, parts, weights, weight_count, arrived, result, found, reduction, sharp, smooth);
}

extern "C" __global__ void __launch_bounds__(512, 1) cross_entropy_gradient_block(
    const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x, scalar_t* __restrict__ dx,
    const long long* __restrict__ target,
    const scalar_t* __restrict__ weight,  // null: all 1
    acc_t* __restrict__ parts,
    const acc_t* __restrict__ weights,  // null: each block adds up the weights of the labels, for a mean
    unsigned* __restrict__ arrived, scalar_t* __restrict__ result, long long* __restrict__ found, int weight_count,
    long long rows, int classes, long long inner, int reduction, long long ignore_index, acc_t sharp, acc_t smooth) {
    const Labels labels = {target, weight, rows, classes, inner, ignore_index};
    cross_entropy_gradient<Block>(
        dy, x, dx, labels, parts, weights, weight_count, arrived, result, found, reduction, sharp, smooth);
}

extern "C" __global__ void __launch_bounds__(512, 1) nll_forward(
    const scalar_t* __restrict__ x, const long long* __restrict__ target,
    const scalar_t* __restrict__ weight,  // null: all 1
    scalar_t* __restrict__ each,          // null: the sum or mean is wanted
    acc_t* __restrict__ parts,            // null: each is wanted, or this is all in one block
    scalar_t* __restrict__ result,        // null: this is not all in one block
    long long rows, int classes, long long inner, int reduction, long long ignore_index) {
    const Labels labels = {target, weight, rows, classes, inner, ignore_index};
    const index_t row = first_index();
    const int label = row < rows ? labels.of(row) : -1;
    const acc_t w = labels.weight(label);
    const acc_t loss = label < 0 ? acc_t(0) : -acc_t(x[labels.start(row) + label * inner]) * w;
    store_losses(loss, w, row, row < rows, each, parts, result, reduction);
}

extern "C" __global__ void __launch_bounds__(256, 4) nll_backward_naive(
    const scalar_t* __restrict__ dy, const long long* __restrict__ target,
    const scalar_t* __restrict__ weight,  // null: all 1
    const acc_t* __restrict__ parts,      // null: each block adds up the weights of the labels, for a mean
    scalar_t* __restrict__ dx, int part_count,
    long long rows, int classes, long long inner, int reduction, long long ignore_index) {
    const Labels labels = {target, weight, rows, classes, inner, ignore_index};
    nll_backward<Alone>(dy, labels, parts, part_count, dx, reduction);
}

extern "C" __global__ void __launch_bounds__(256, 4) nll_backward_warp(
    const scalar_t* __restrict__ dy, const long long* __restrict__ target,
    const scalar_t* __restrict__ weight,  // null: all 1
    const acc_t* __restrict__ parts,      // null: each block adds up the weights of the labels, for a mean
    scalar_t* __restrict__ dx, int part_count,
    long long rows, int classes, long long inner, int reduction, long long ignore_index) {
    const Labels labels = {target, weight, rows, classes, inner, ignore_index};
    nll_backward<Warp>(dy, labels, parts, part_count, dx, reduction);
}

// parts (2, count), the sums of losses and weights -> sums (2, blocks)
extern "C" __global__ void __launch_bounds__(256) loss_partial(
    const acc_t* __restrict__ parts, acc_t* __restrict__ sums, long long count) {
    const Sums sum = add_up(parts, count, first_index(), index_stride());
    if (Block::rank() == 0) {
        sums[blockIdx.x] = sum.first;
        sums[gridDim.x + blockIdx.x] = sum.second;
    }
}

// One block: the sum or the mean of parts (2, count)
extern "C" __global__ void __launch_bounds__(1024) loss_total(
    const acc_t* __restrict__ parts, scalar_t* __restrict__ result, long long count, int reduction) {
    const Sums sums = add_up(parts, count, Block::rank(), Block::size());
    if (Block::rank() == 0) *result = reduced(sums, reduction);
}

// The weights of the labels -> sums (blocks)
extern "C" __global__ void __launch_bounds__(256) label_weights(
    const long long* __restrict__ target,
    const scalar_t* __restrict__ weight,  // null: all 1
    acc_t* __restrict__ sums,
    long long rows, int classes, long long ignore_index) {
    const Labels labels = {target, weight, rows, classes, 1, ignore_index};
    Sum sum = {0};
    for (index_t row = first_index(); row < rows; row += index_stride()) sum.value += labels.weight(labels.of(row));
    sum = Block::reduce(sum);
    if (Block::rank() == 0) sums[blockIdx.x] = sum.value;
}

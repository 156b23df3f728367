// A stand-in for libcublasLt, which computes on the CPU. What it is given it holds against the documentation of cuBLAS:
// shapes and leading dimensions, alignments, the workspace. Numbers are those of cublasLt.h, cublas_api.h and
// library_types.h of CUDA 12.
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };
enum { CUDA_R_32F = 0, CUDA_R_16F = 2, CUDA_R_16BF = 14 };
enum { CUBLAS_COMPUTE_32F = 68, CUBLAS_COMPUTE_32F_FAST_TF32 = 77 };
enum { CUBLASLT_EPILOGUE_DEFAULT = 1, CUBLASLT_EPILOGUE_RELU = 2, CUBLASLT_EPILOGUE_BIAS = 4, RELU_BIAS = 6 };

typedef struct {
    int32_t compute, scale, transa, transb, epilogue;
    const void *bias;
} *Desc;
typedef struct {
    int32_t type, batch;
    uint64_t rows, cols;
    int64_t ld, stride;
} *Layout;
typedef struct {
    uint64_t workspace;
    uint32_t reduction, alignment[4];
} *Preference;
typedef struct {
    uint64_t data[8];
} Algo;
typedef struct {
    Algo algo;
    size_t workspaceSize;
    int state;
    float wavesCount;
    int reserved[4];
} Result;

int asked, computed, refuse, fail, last_compute, last_epilogue, last_reduction;
void *last_stream;
static int handle;

const char *cublasLtGetStatusString(int status) { return status == 7 ? "an invalid value" : "not supported"; }
int cublasLtCreate(void **made) {
    if (fail) return 1;
    *made = &handle;
    return SUCCESS;
}

int cublasLtMatmulDescCreate(Desc *made, int compute, int scale) {
    *made = calloc(1, sizeof **made);
    (*made)->compute = compute, (*made)->scale = scale, (*made)->epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    return SUCCESS;
}
int cublasLtMatmulDescSetAttribute(Desc d, int attribute, const void *value, size_t size) {
    if (attribute == 8) {
        if (size != sizeof d->bias) return INVALID_VALUE;
        memcpy(&d->bias, value, size);
        return SUCCESS;
    }
    int32_t *to = attribute == 3 ? &d->transa : attribute == 4 ? &d->transb : attribute == 7 ? &d->epilogue : NULL;
    if (!to || size != 4) return INVALID_VALUE;
    memcpy(to, value, 4);
    return SUCCESS;
}
int cublasLtMatrixLayoutCreate(Layout *made, int type, uint64_t rows, uint64_t cols, int64_t ld) {
    if (ld < (int64_t)rows) return INVALID_VALUE;
    *made = calloc(1, sizeof **made);
    (*made)->type = type, (*made)->rows = rows, (*made)->cols = cols, (*made)->ld = ld, (*made)->batch = 1;
    return SUCCESS;
}
int cublasLtMatrixLayoutSetAttribute(Layout l, int attribute, const void *value, size_t size) {
    if (attribute == 5 && size == 4) memcpy(&l->batch, value, size);
    else if (attribute == 6 && size == 8) memcpy(&l->stride, value, size);
    else return INVALID_VALUE;
    return SUCCESS;
}
int cublasLtMatmulPreferenceCreate(Preference *made) {
    *made = calloc(1, sizeof **made);
    (*made)->reduction = 7;
    for (int i = 0; i < 4; ++i) (*made)->alignment[i] = 256;
    return SUCCESS;
}
int cublasLtMatmulPreferenceDestroy(Preference p) {
    free(p);
    return SUCCESS;
}
int cublasLtMatmulPreferenceSetAttribute(Preference p, int attribute, const void *value, size_t size) {
    if (attribute == 1 && size == 8) memcpy(&p->workspace, value, 8);
    else if (attribute == 3 && size == 4) memcpy(&p->reduction, value, 4);
    else if (attribute >= 5 && attribute <= 8 && size == 4) memcpy(&p->alignment[attribute - 5], value, 4);
    else return INVALID_VALUE;
    return SUCCESS;
}

// op(A) (m, k), op(B) (k, n), D (m, n), all column-major.
static int fits(Desc d, Layout a, Layout b, Layout c) {
    uint64_t m = d->transa ? a->cols : a->rows, k = d->transa ? a->rows : a->cols;
    uint64_t k2 = d->transb ? b->cols : b->rows, n = d->transb ? b->rows : b->cols;
    return k == k2 && m == c->rows && n == c->cols && a->type == b->type && a->batch == c->batch &&
           b->batch == c->batch && d->scale == CUDA_R_32F && (c->type == a->type || c->type == CUDA_R_32F) &&
           (d->compute == CUBLAS_COMPUTE_32F || (d->compute == CUBLAS_COMPUTE_32F_FAST_TF32 && !a->type)) &&
           (!(d->epilogue & CUBLASLT_EPILOGUE_BIAS) || d->bias);
}

int cublasLtMatmulAlgoGetHeuristic(void *h, Desc d, Layout a, Layout b, Layout c, Layout out, Preference p, int most,
                                   Result *found, int *count) {
    ++asked;
    if (h != &handle || most < 1 || !fits(d, a, b, out) || c != out) return INVALID_VALUE;
    *count = 0;
    if (refuse) return NOT_SUPPORTED;
    last_reduction = (int)p->reduction;
    found->algo.data[0] = 0x5eed, found->algo.data[1] = p->workspace, found->algo.data[2] = p->alignment[0];
    found->workspaceSize = (size_t)p->workspace, found->state = SUCCESS, *count = 1;
    return SUCCESS;
}

static float load(const void *x, int type, int64_t i) {
    if (type == CUDA_R_32F) return ((const float *)x)[i];
    if (type == CUDA_R_16F) return (float)((const _Float16 *)x)[i];
    uint32_t bits = (uint32_t)((const uint16_t *)x)[i] << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}
static void store(void *x, int type, int64_t i, float value) {
    if (type == CUDA_R_32F) ((float *)x)[i] = value;
    else if (type == CUDA_R_16F) ((_Float16 *)x)[i] = (_Float16)value;
    else {
        uint32_t bits;
        memcpy(&bits, &value, 4);
        ((uint16_t *)x)[i] = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    }
}

int cublasLtMatmul(void *h, Desc d, const float *alpha, const char *a, Layout la, const char *b, Layout lb,
                   const float *beta, const char *c, Layout lc, char *out, Layout ld, const Algo *algo,
                   char *workspace, size_t bytes, void *stream) {
    if (h != &handle || !fits(d, la, lb, ld) || lc != ld || c != out || *alpha != 1 || *beta != 0) return INVALID_VALUE;
    if (algo->data[0] != 0x5eed || bytes < algo->data[1] || (size_t)workspace % 256) return INVALID_VALUE;
    size_t addresses = (size_t)a | (size_t)b | (size_t)out | (d->epilogue & 4 ? (size_t)d->bias : 0);
    if (addresses % algo->data[2]) return INVALID_VALUE;
    memset(workspace, 0xff, bytes);
    ++computed, last_compute = d->compute, last_epilogue = d->epilogue, last_stream = stream;
    uint64_t depth = d->transa ? la->rows : la->cols;
    for (int i = 0; i < ld->batch; ++i)
        for (uint64_t n = 0; n < ld->cols; ++n)
            for (uint64_t m = 0; m < ld->rows; ++m) {
                double sum = 0;
                for (uint64_t k = 0; k < depth; ++k) {
                    uint64_t in_a = d->transa ? k + m * (uint64_t)la->ld : m + k * (uint64_t)la->ld;
                    uint64_t in_b = d->transb ? n + k * (uint64_t)lb->ld : k + n * (uint64_t)lb->ld;
                    sum += (double)load(a, la->type, i * la->stride + (int64_t)in_a) *
                           load(b, lb->type, i * lb->stride + (int64_t)in_b);
                }
                float value = (float)sum;
                if (d->epilogue & CUBLASLT_EPILOGUE_BIAS) value += load(d->bias, ld->type, (int64_t)m);
                if (d->epilogue & CUBLASLT_EPILOGUE_RELU) value = value > 0 ? value : 0;
                store(out, ld->type, i * ld->stride + (int64_t)(m + n * (uint64_t)ld->ld), value);
            }
    return SUCCESS;
}

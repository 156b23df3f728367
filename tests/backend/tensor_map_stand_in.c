// A stand-in for the part of libcuda that makes tensor maps. What it is given it holds against the documentation of
// cuTensorMapEncodeTiled (CUDA Driver API, "Tensor Map Object Management"); numbers are those of cuda.h of CUDA 12. What
// it makes is what the simulator reads: gpunn/backend/simulator/runtime/boxes.h.
#include <stdint.h>
#include <string.h>

enum { CUDA_SUCCESS = 0, CUDA_ERROR_INVALID_VALUE = 1 };
enum { SWIZZLE_NONE, SWIZZLE_32B, SWIZZLE_64B, SWIZZLE_128B };

int asked, refuse, last_type, last_promotion;

static uint64_t bytes_of(int type) {
    static const uint64_t bytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};  // UINT8 to TFLOAT32_FTZ
    return type >= 0 && type < 13 ? bytes[type] : 0;
}

int cuTensorMapEncodeTiled(uint64_t *map, int type, uint32_t rank, void *address, const uint64_t *size,
                           const uint64_t *stride, const uint32_t *box, const uint32_t *step, int interleave,
                           int swizzle, int promotion, int fill) {
    const uint64_t element = bytes_of(type);
    ++asked, last_type = type, last_promotion = promotion;
    if (refuse || (uintptr_t)map % 64 || !element || rank < 1 || rank > 5 || (uintptr_t)address % 16 || interleave != 0)
        return CUDA_ERROR_INVALID_VALUE;
    for (uint32_t i = 0; i < rank; ++i) {
        if (!size[i] || size[i] > (uint64_t)1 << 32) return CUDA_ERROR_INVALID_VALUE;
        if (!box[i] || box[i] > 256 || !step[i] || step[i] > 8) return CUDA_ERROR_INVALID_VALUE;
        if (i + 1 < rank && (stride[i] % 16 || stride[i] >= (uint64_t)1 << 40)) return CUDA_ERROR_INVALID_VALUE;
    }
    const uint64_t line = box[0] * element, span = swizzle == SWIZZLE_NONE ? line : (uint64_t)16 << swizzle;
    if (line % 16 || line > span || swizzle < 0 || swizzle > SWIZZLE_128B) return CUDA_ERROR_INVALID_VALUE;
    if (promotion < 0 || promotion > 3 || fill < 0 || fill > 1) return CUDA_ERROR_INVALID_VALUE;

    // The simulator knows no others.
    if (rank != 3 || swizzle != SWIZZLE_128B || fill || step[0] != 1 || step[1] != 1 || step[2] != 1)
        return CUDA_ERROR_INVALID_VALUE;
    const uint64_t words[16] = {(uintptr_t)address, size[0], size[1], size[2], stride[0], stride[1],
                                box[0],             box[1],  box[2],  element};
    memcpy(map, words, sizeof words);
    return CUDA_SUCCESS;
}

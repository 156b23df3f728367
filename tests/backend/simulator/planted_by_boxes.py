"""Bugs with copies of boxes and the barriers that count them: parities, waits, bytes, fences, who overwrites what."""

import numpy as np

from gpunn.backend.tensor_map import Matrices, of_simulator

from .planted import Bug

BEGIN = """
            extern __shared__ __align__(16) unsigned char bytes[];
            unsigned short* s = (unsigned short*)(bytes + (0u - shared_address(bytes)) % 1024);
            __shared__ unsigned long long filled[2], emptied[2];
            const int t = threadIdx.x;"""
INIT = """
            if (t == 128) {
                for (int i = 0; i < 2; ++i) { mbarrier_init(&filled[i], 1); mbarrier_init(&emptied[i], 4); }
                fence_async_proxy();
            }
            __syncthreads();"""
EXPECT = "mbarrier_arrive_expecting(&filled[0], 8192);"
COPY = "copy_box(s, map, 0, 0, 0, &filled[0]);"
PRODUCE = f"""
            if (t == 128) {{
                {EXPECT}
                {COPY}
            }}
            __syncthreads();"""
WAIT = "if (t < 128) mbarrier_wait(&filled[0], 0);"
ARRIVE = "if (t < 128 && t % 32 == 0) mbarrier_arrive(&emptied[0]);"
READ = "if (t < 128) p[4096 + t] = s[t];"
END = """
        }"""
BYTES = 2 * 8192 + 1024


def matrix(lines=64):
    """A matrix of 64 lines, as the map has it or a line less, and room for results."""
    p = np.zeros(4096 + 128, np.uint16) if lines == 64 else np.zeros(4096 - 64, np.uint16)
    return of_simulator(Matrices(p.ctypes.data, "float16", 64, 64, 1, 64, 4096)), p


def bug(name, kind, body, init=INIT, args=matrix, fast=False, **more):
    """One of a kernel of a warpgroup and a warp that copies, with what most of them have in common."""
    head = f"\n        __global__ void {name}(const __grid_constant__ TensorMap map, unsigned short* p) {{"
    return Bug(name, kind, f"{head}{BEGIN}{init}{body}{END}", args, 160, shared_mem=BYTES, fast=fast, **more)


AGAIN = f"""
            if (t == 128) {{
                {EXPECT}
                {COPY}
                //+ mbarrier_wait(&emptied[0], 0);
                mbarrier_wait(&filled[0], 0);  // GOES
                {EXPECT}
                {COPY}  // BUG
                mbarrier_wait(&filled[0], 1);
            }}"""

BY_BOXES = [
    bug("never_waited_for_the_box", "missing mbarrier wait", f"""{PRODUCE}
            //+ {WAIT}
            {READ}  // BUG
            mbarrier_wait(&filled[0], 0);"""),
    bug("waited_on_a_wrong_parity", "missing mbarrier wait", f"""{PRODUCE}
            if (t < 128) mbarrier_wait(&filled[0], 1);  // GOES
            //+ {WAIT}
            {READ}  // BUG
            mbarrier_wait(&filled[0], 0);"""),
    bug("waited_for_another_box", "missing mbarrier wait", f"""{PRODUCE}
            if (t == 128) {{
                mbarrier_arrive_expecting(&filled[1], 8192);
                copy_box(s + 4096, map, 0, 0, 0, &filled[1]);
            }}
            if (t >= 64 && t < 128) mbarrier_wait(&filled[0], 0);
            if (t < 128) mbarrier_wait(&filled[1], 0);
            //+ {WAIT}
            {READ}  // BUG
            mbarrier_wait(&filled[0], 0);"""),
    bug("one_lane_waited_for_its_warp", "missing mbarrier wait", f"""{PRODUCE}
            if (t < 128 && t % 32 == 0) mbarrier_wait(&filled[0], 0);
            //+ __syncwarp();
            {READ}  // BUG
            mbarrier_wait(&filled[0], 0);"""),
    bug("product_before_the_box_is_there", "missing mbarrier wait", f"""{PRODUCE}
            if (t < 128) {{
                float d[16][4] = {{}};
                const unsigned long long a = wgmma_matrix(s, 16, 1024);
                mbarrier_wait(&filled[0], 1);  // GOES
                //+ mbarrier_wait(&filled[0], 0);
                wgmma_fence();
                wgmma_m64n128k16_bf16<false, true>(d, a, wgmma_matrix(s, 0, 1024));  // BUG
                wgmma_commit();
                wgmma_wait<0>();
            }}"""),
    bug("overwritten_while_others_read", "race", f"""{AGAIN}
            {WAIT}
            {READ}
            __syncwarp();
            {ARRIVE}"""),
    bug("overwritten_while_it_is_multiplied", "missing wgmma wait", f"""
            if (t == 128) {{
                {EXPECT}
                {COPY}
                mbarrier_wait(&emptied[0], 0);
                {EXPECT}
                {COPY}  // BUG
                mbarrier_wait(&filled[0], 1);
            }}
            if (t < 128) {{
                float d[16][4] = {{}};
                mbarrier_wait(&filled[0], 0);
                wgmma_fence();
                wgmma_m64n128k16_bf16<false, true>(d, wgmma_matrix(s, 16, 1024), wgmma_matrix(s, 0, 1024));
                wgmma_commit();
                //+ wgmma_wait<0>();
                if (t % 32 == 0) mbarrier_arrive(&emptied[0]);
                mbarrier_wait(&filled[0], 1);
                wgmma_wait<0>();
            }}"""),
    bug("let_go_before_it_was_read", "race", f"""{AGAIN.replace("//+ ", "").replace("  // BUG", "")
            .replace("mbarrier_wait(&filled[0], 0);  // GOES", "")}
            {WAIT}
            {ARRIVE}  // GOES
            {READ}  // BUG
            //+ {READ}
            //+ __syncwarp();
            //+ {ARRIVE}"""),
    bug("let_go_of_in_the_block_before", "race", f"""
            {WAIT}
            if (blockIdx.x == 1) {READ}
            __syncwarp();
            {ARRIVE}
            if (t == 128) {{
                {EXPECT}
                {COPY}
                mbarrier_wait(&emptied[0], 1);  // GOES
                if (blockIdx.x == 0) mbarrier_wait(&emptied[0], 0);  // GOES
                //+ mbarrier_wait(&emptied[0], 0);
                mbarrier_wait(&filled[0], 0);
                {EXPECT}
                {COPY}  // BUG
                mbarrier_wait(&filled[0], 1);
            }}""", grid=2),
    bug("two_boxes_to_one_place", "missing mbarrier wait", f"""
            if (t == 128) {{
                {EXPECT}
                mbarrier_arrive_expecting(&filled[1], 8192);
                {COPY}
                copy_box(s, map, 0, 0, 0, &filled[1]);  // BUG
                //+ copy_box(s + 4096, map, 0, 0, 0, &filled[1]);
            }}
            mbarrier_wait(&filled[0], 0);
            mbarrier_wait(&filled[1], 0);"""),
    bug("the_block_returns_before_the_box", "missing mbarrier wait", f"""
            if (t == 128) {{
                {EXPECT}
                {COPY}  // BUG
                //+ {COPY} mbarrier_wait(&filled[0], 0);
            }}""", fast=True),
    bug("too_many_bytes_expected", "wrong expect_tx", f"""
            if (t == 128) {{
                mbarrier_arrive_expecting(&filled[0], 16384);  // BUG
                //+ {EXPECT}
                {COPY}
            }}
            {WAIT}
            {READ}""", fast=True),
    bug("too_few_bytes_expected", "wrong expect_tx", f"""
            if (t == 128) {{
                mbarrier_arrive_expecting(&filled[0], 8192);  // BUG
                //+ mbarrier_arrive_expecting(&filled[0], 16384);
                {COPY}
                copy_box(s + 4096, map, 0, 0, 0, &filled[0]);
            }}
            {WAIT}
            {READ}""", fast=True),
    bug("half_a_box_expected", "wrong expect_tx", f"""
            if (t == 128) {{
                mbarrier_arrive_expecting(&filled[0], 4096);  // BUG
                //+ {EXPECT}
                {COPY}
            }}
            {WAIT}
            {READ}""", fast=True),
    bug("no_bytes_expected", "missing mbarrier wait", f"""
            if (t == 128) {{
                mbarrier_arrive(&filled[0]);  // GOES
                //+ {EXPECT}
                {COPY}
            }}
            {WAIT}
            {READ}  // BUG"""),
    bug("a_wait_that_nobody_ends", "deadlock", f"""{PRODUCE}
            if (t == 128) mbarrier_wait(&emptied[0], 0);  // BUG
            {WAIT}
            {READ}
            //+ {ARRIVE}""", fast=True),
    bug("the_first_round_waits_too", "deadlock", f"""
            if (t == 128) {{
                mbarrier_wait(&emptied[0], 0);  // BUG
                //+ mbarrier_wait(&emptied[0], 1);
                {EXPECT}
                {COPY}
            }}
            if (t == 128) mbarrier_wait(&filled[0], 0);""", fast=True),
    bug("more_arrive_than_were_said", "wrong count", f"""{PRODUCE}
            mbarrier_wait(&filled[0], 0);
            if (t == 128) mbarrier_arrive_expecting(&filled[1], 8192);
            if (t == 128) mbarrier_arrive(&filled[1]);  // BUG
            //+""", fast=True),
    bug("a_barrier_that_was_not_made", "missing mbarrier init", f"""{PRODUCE}
            if (t == 0) mbarrier_arrive((unsigned long long*)s + 1024);  // BUG
            //+ if (t == 0) mbarrier_arrive(&emptied[0]);
            mbarrier_wait(&filled[0], 0);""", fast=True),
    bug("a_barrier_before_all_know_it", "race", """
            if (t == 32) mbarrier_init(&filled[0], 1);
            //+ __syncthreads();
            if (t == 64) mbarrier_arrive(&filled[0]);  // BUG""", init=""),
    bug("no_fence_behind_the_init", "missing proxy fence", f"""
            if (t == 128) {{
                mbarrier_init(&filled[0], 1);
                //+ fence_async_proxy();
            }}
            __syncthreads();
            if (t == 128) {EXPECT}
            if (t == 128) {COPY}  // BUG
            mbarrier_wait(&filled[0], 0);""", init=""),
    bug("no_fence_between_a_write_and_a_box", "missing proxy fence", f"""
            s[t] = 1;
            //+ fence_async_proxy();
            __syncthreads();
            if (t == 128) {EXPECT}
            if (t == 128) {COPY}  // BUG
            mbarrier_wait(&filled[0], 0);"""),
    bug("a_box_between_lines", "misaligned access", f"""
            if (t == 128) {EXPECT}
            if (t == 128) copy_box(s + 64, map, 0, 0, 0, &filled[0]);  // BUG
            //+ if (t == 128) {COPY}
            mbarrier_wait(&filled[0], 0);""", fast=True),
    bug("a_box_beyond_the_memory", "out of bounds", f"""
            if (t == 128) {EXPECT}
            if (t == 128) copy_box(s + 4096 + 1024, map, 0, 0, 0, &filled[0]);  // BUG
            //+ if (t == 128) {COPY}
            mbarrier_wait(&filled[0], 0);"""),
    bug("a_map_of_more_than_there_is", "out of bounds", f"""
            if (t == 128) {EXPECT}
            if (t == 128) {COPY}  // BUG
            mbarrier_wait(&filled[0], 0);""", args=lambda: matrix(63), fixed_args=matrix),
]  # fmt: skip

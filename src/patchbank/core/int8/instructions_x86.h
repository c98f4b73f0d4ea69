/* The instructions of x86 for kernel_simd.h: AVX-512 with VNNI, AVX-VNNI and AVX2.

   VNNI multiplies 4 unsigned by 4 signed bytes in each lane and adds the sum to the lane, in one
   instruction, vpdpbusd.  AVX2 adds products of two bytes in 16 bits, and pairs of these in 32.
   Compilers call it by assembly where they can, since gcc has intrinsics for it late (11, for
   AVX-VNNI); clang takes no assembly of wider vectors than its target has.
   Where EMULATE_VNNI is defined, AVX-VNNI needs AVX2 alone: the tests run its codes of 8 bits so on
   processors without it. */

#if LEVEL == AVX512_VNNI

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vnni,fma")))
#define NAME(name) name##_avx512_vnni
#define LANES 16
#define TILE_QUERIES 12
#define GROUPS 1
#define VEC_I32 __m512i
#define LOAD(address) _mm512_loadu_si512((const void *)(address))
#define STORE(address, vector) _mm512_storeu_si512((void *)(address), vector)
#define BROADCAST(number) _mm512_set1_epi32(number)
#define SUB(a, b) _mm512_sub_epi32(a, b)
#define AND(a, b) _mm512_and_si512(a, b)
#ifdef __clang__
#define DOT(sum, bytes, codes) (sum) = _mm512_dpbusd_epi32(sum, (bytes)[0], (codes)[0])
#else
#define DOT(sum, bytes, codes) \
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"((bytes)[0]), "v"((codes)[0]))
#endif
#define NONNEGATIVE_MASK(vector) (0xffffu & ~(uint32_t)_mm512_movepi32_mask(vector))
#define VEC_PS __m512
#define ZERO_PS _mm512_setzero_ps()
#define LOAD_PS(address) _mm512_loadu_ps(address)
#define LOAD_FIRST_PS(address, n) \
    _mm512_maskz_loadu_ps((n) < 16 ? (__mmask16)((1u << (n)) - 1) : (__mmask16)0xffff, address)
#define SUB_PS(a, b) _mm512_sub_ps(a, b)
#define ADD_SQUARE_PS(sum, a) _mm512_fmadd_ps(a, a, sum)
#define REDUCE_SUM_PS(a, b) _mm512_reduce_add_ps(_mm512_add_ps(a, b))

#else

#define LANES 8
#define VEC_I32 __m256i
#define LOAD(address) _mm256_loadu_si256((const __m256i *)(address))
#define STORE(address, vector) _mm256_storeu_si256((__m256i *)(address), vector)
#define BROADCAST(number) _mm256_set1_epi32(number)
#define SUB(a, b) _mm256_sub_epi32(a, b)
#define AND(a, b) _mm256_and_si256(a, b)
#define NONNEGATIVE_MASK(vector) \
    (0xffu & ~(uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(vector)))
#define VEC_PS __m256
#define ZERO_PS _mm256_setzero_ps()
#define LOAD_PS(address) _mm256_loadu_ps(address)
#define LOAD_FIRST_PS(address, n) _mm256_maskload_ps(address, first_lanes_256(n))
#define SUB_PS(a, b) _mm256_sub_ps(a, b)
#define ADD_SQUARE_PS(sum, a) _mm256_fmadd_ps(a, a, sum)
#define REDUCE_SUM_PS(a, b) reduce_sum_256(_mm256_add_ps(a, b))

#if LEVEL == AVX_VNNI

#define NAME(name) name##_avx_vnni
#define TILE_QUERIES 6
#define GROUPS 1
#ifdef EMULATE_VNNI
#define TARGET __attribute__((target("avx2,fma")))
#define DOT(sum, bytes, codes) (sum) = dot_4_of_avx2(sum, (bytes)[0], (codes)[0])
#else
#define TARGET __attribute__((target("avx2,fma,avxvnni")))
#ifdef __clang__
#define DOT(sum, bytes, codes) (sum) = _mm256_dpbusd_avx_epi32(sum, (bytes)[0], (codes)[0])
#else
#define DOT(sum, bytes, codes) \
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"((bytes)[0]), "x"((codes)[0]))
#endif
#endif

#else

#define TARGET __attribute__((target("avx2,fma")))
#define NAME(name) name##_avx2
#define TILE_QUERIES 6
#define GROUPS 2
#define DOT(sum, bytes, codes) \
    (sum) = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_set1_epi16(1), \
        _mm256_add_epi16(_mm256_maddubs_epi16((bytes)[0], (codes)[0]), \
                         _mm256_maddubs_epi16((bytes)[1], (codes)[1]))))

#endif

#ifndef SHARED_BY_AVX2
#define SHARED_BY_AVX2
#ifdef EMULATE_VNNI
/* The even and the odd bytes as integers of 16 bits: sums of two products fit 32 bits exactly. */
TARGET static inline __m256i dot_4_of_avx2(__m256i sum, __m256i bytes, __m256i codes)
{
    __m256i even_bytes = _mm256_srli_epi16(_mm256_slli_epi16(bytes, 8), 8);
    __m256i even_codes = _mm256_srai_epi16(_mm256_slli_epi16(codes, 8), 8);
    __m256i even = _mm256_madd_epi16(even_bytes, even_codes);
    __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(bytes, 8), _mm256_srai_epi16(codes, 8));
    return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
}
#endif

__attribute__((target("avx2"))) static inline __m256i first_lanes_256(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < 8 ? (int)n : 8),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

__attribute__((target("avx2"))) static inline float reduce_sum_256(__m256 a)
{
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}
#endif

#endif

/* The instructions of ARM (aarch64) for kernel_simd.h: with dot products, and plain NEON.

   sdot multiplies 4 by 4 signed bytes in each lane and adds the sum to the lane.  Plain NEON adds
   products of two groups of codes in 16 bits, and then pairs of these in 32. */

#define LANES 4
#define VEC_I32 int32x4_t
#define LOAD(address) vld1q_s32((const int32_t *)(address))
#define STORE(address, vector) vst1q_s32(address, vector)
#define BROADCAST(number) vdupq_n_s32(number)
#define SUB(a, b) vsubq_s32(a, b)
#define AND(a, b) vandq_s32(a, b)
#define NONNEGATIVE_MASK(vector) nonnegative_mask_128(vector)
#define VEC_PS float32x4_t
#define ZERO_PS vdupq_n_f32(0)
#define LOAD_PS(address) vld1q_f32(address)
#define LOAD_FIRST_PS(address, n) load_first_128(address, n)
#define SUB_PS(a, b) vsubq_f32(a, b)
#define ADD_SQUARE_PS(sum, a) vfmaq_f32(sum, a, a)
#define REDUCE_SUM_PS(a, b) vaddvq_f32(vaddq_f32(a, b))

#if LEVEL == NEON_DOT

#ifdef __clang__
#define TARGET __attribute__((target("dotprod")))
#else
#define TARGET __attribute__((target("arch=armv8.2-a+dotprod")))
#endif
#define NAME(name) name##_neon_dot
#define TILE_QUERIES 12
#define GROUPS 1
#define DOT(sum, bytes, codes) \
    (sum) = vdotq_s32(sum, vreinterpretq_s8_s32((bytes)[0]), vreinterpretq_s8_s32((codes)[0]))

#else

#define TARGET
#define NAME(name) name##_neon
#define TILE_QUERIES 8
#define GROUPS 2
#define DOT(sum, bytes, codes) (sum) = dot_8_of_neon(sum, bytes, codes)

#endif

#ifndef SHARED_BY_NEON
#define SHARED_BY_NEON
/* Lane by lane: products of codes 0 and 4, 1 and 5, ... of the lane in 16 bits, then their sum. */
static inline int32x4_t dot_8_of_neon(int32x4_t sum, const int32x4_t *bytes, const int32x4_t *codes)
{
    int8x16_t a = vreinterpretq_s8_s32(bytes[0]), b = vreinterpretq_s8_s32(codes[0]);
    int8x16_t c = vreinterpretq_s8_s32(bytes[1]), d = vreinterpretq_s8_s32(codes[1]);
    int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
    int16x8_t high = vmull_high_s8(a, b);
    low = vmlal_s8(low, vget_low_s8(c), vget_low_s8(d));
    high = vmlal_high_s8(high, c, d);
    return vpadalq_s16(sum, vpaddq_s16(low, high));
}

static inline uint32_t nonnegative_mask_128(int32x4_t vector)
{
    const uint32x4_t bits = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcgezq_s32(vector), bits));
}

static inline float32x4_t load_first_128(const float *address, int64_t n)
{
    float four[4] = {0};
    memcpy(four, address, (n < 4 ? (size_t)n : 4) * sizeof(float));
    return vld1q_f32(four);
}
#endif

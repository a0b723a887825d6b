/* Batches of Q8_0 x Q8_0 for AVX-512 VNNI: the bits of llama.cpp's own product, in about 0.4 of its time.
 *
 * llama.cpp's `llamafile_sgemm` (ggml-cpu/llamafile/sgemm.cpp, tinyBLAS_Q0_AVX) computes every element as
 *
 *     for each block: sum[0..7] = fma(da * db, float(dot of 4 bytes), sum[0..7]);  then ((0+4)+(2+6)) + ((1+5)+(3+7))
 *
 * with 256 bits, and spends most of its instructions on signs and scales. Here one 512-bit register holds the eight sums
 * of two rows, in turn (row 0 sum 0, row 1 sum 0, row 0 sum 1, ...), and what depends on one operand alone is done once for a
 * whole panel. The dot products are integers and the product of two halves is exact in a float, so the order of sums is
 * all that rounding depends on, and it is the same.
 *
 * This library takes the symbol's place where it is loaded first, and passes on whatever it does not compute itself.
 */
#include <stdbool.h>
#include <stdint.h>

struct ggml_compute_params; /* ggml-cpu-impl.h: begins with `int ith, nth`, this thread and the number of threads */

typedef bool product(const struct ggml_compute_params *params, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda,
                     const void *b, int64_t ldb, void *c, int64_t ldc, int type_a, int type_b, int type_c);

#define EXPORT __attribute__((visibility("default")))

static product *llama_cpp;
static bool in_use;
static int64_t products;

EXPORT product llamafile_sgemm;

/* `original`: llama.cpp's own function. Until it is known nothing is computed here, and llama.cpp does without. */
EXPORT void orbitlm_pass_on(product *original) { llama_cpp = original; }

/* Whether batches of Q8_0 are computed here from now on. The threads of one product must find the same. */
EXPORT void orbitlm_use(bool here) { in_use = here; }

/* How many products this library has computed. */
EXPORT int64_t orbitlm_products(void) { return __atomic_load_n(&products, __ATOMIC_RELAXED); }

static bool pass_on(const struct ggml_compute_params *params, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda,
                    const void *b, int64_t ldb, void *c, int64_t ldc, int type_a, int type_b, int type_c) {
    return llama_cpp && llama_cpp(params, m, n, k, a, lda, b, ldb, c, ldc, type_a, type_b, type_c);
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define VNNI __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 8") /* or else the sums are kept in memory, and nothing is gained */

enum {
    F32 = 0,          /* ggml.h, enum ggml_type */
    Q8_0 = 8,
    VALUES = 32,      /* ggml-common.h, QK8_0 */
    PAIRS = 4,        /* of rows in a panel: with as many columns, 16 registers of sums and 8 of operands of the 32 */
    ROWS = 2 * PAIRS,
    COLUMNS = 4,
    LEAST_COLUMNS = 8, /* with fewer the panels are not worth their making */
    MOST_BLOCKS = 512, /* in a row: 16,384 values; longer ones are passed on */
    CACHED = 512 << 10 /* bytes of packed columns at a time: half of a usual second-level cache */
};

typedef struct __attribute__((packed)) {
    uint16_t scale; /* binary16 */
    int8_t values[VALUES];
} block;

/* One block of eight rows. Lanes of 32 bits: row 0 bytes 0-3, row 1 bytes 0-3, row 0 bytes 4-7, ... */
typedef struct {
    __m512i values[PAIRS];
    __m512i offset[PAIRS]; /* -128 times the sum of each lane's bytes: undoes the 128 that columns are raised by */
    float scale[ROWS];
} __attribute__((aligned(64))) row_panel;

/* One block of four columns, raised by 128 (vpdpbusd wants one operand unsigned), each lane twice. */
typedef struct {
    __m512i values[COLUMNS];
    float scale[COLUMNS];
} __attribute__((aligned(64))) column_panel;

/* Each thread's own, from its first product to its end. */
static __thread row_panel row_panels[MOST_BLOCKS];
static __thread column_panel column_panels[CACHED / sizeof(column_panel)];

EXPORT bool orbitlm_fits_here(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") &&
           __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

VNNI static void pack_columns(column_panel *out, const block *b, int64_t ldb, int64_t k, int count) {
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    const __m256i raise = _mm256_set1_epi8((char)0x80);
    for (int64_t l = 0; l < k; l++)
        for (int j = 0; j < count; j++) {
            const block *from = b + ldb * j + l;
            __m256i values = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)from->values), raise);
            out[l].values[j] = _mm512_permutexvar_epi32(twice, _mm512_castsi256_si512(values));
            out[l].scale[j] = _cvtsh_ss(from->scale);
        }
}

VNNI INLINE void pack_these(row_panel *out, const block *a, int64_t lda, int64_t k, const int count) {
    const __m512i in_turn = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i zero = _mm512_setzero_si512(), raised = _mm512_set1_epi8((char)0x80);
    for (int64_t l = 0; l < k; l++) {
        uint16_t scales[ROWS];
        __m256i rows[ROWS];
        UNROLLED for (int i = 0; i < ROWS; i++) {
            const block *from = a + lda * i + l;
            __builtin_prefetch(from + lda * ROWS); /* of the next panel: strides of 34 bytes times k are not foreseen */
            scales[i] = i < count ? from->scale : 0;
            rows[i] = i < count ? _mm256_loadu_si256((const __m256i *)from->values) : _mm256_setzero_si256();
        }
        _mm256_store_ps(out[l].scale, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)scales)));
        UNROLLED for (int p = 0; p < PAIRS; p++) {
            const __m512i values = _mm512_permutex2var_epi32(_mm512_castsi256_si512(rows[2 * p]), in_turn,
                                                             _mm512_castsi256_si512(rows[2 * p + 1]));
            out[l].values[p] = values;
            out[l].offset[p] = _mm512_sub_epi32(zero, _mm512_dpbusd_epi32(zero, raised, values));
        }
    }
}

VNNI static void pack_rows(row_panel *out, const block *a, int64_t lda, int64_t k, int count) {
    if (count == ROWS)
        pack_these(out, a, lda, k, ROWS);
    else
        pack_these(out, a, lda, k, count);
}

/* Eight rows by `columns` columns into c. */
VNNI INLINE void tile(const row_panel *a, const column_panel *b, int64_t k, float *c, int64_t ldc, int rows, const int columns) {
    __m512 sums[PAIRS][COLUMNS];
    __m512i pair[PAIRS]; /* picks its two scales, in turn, out of eight */
    UNROLLED for (int p = 0; p < PAIRS; p++) {
        pair[p] = _mm512_set1_epi64(((int64_t)(2 * p + 1) << 32) | (2 * p));
        UNROLLED for (int j = 0; j < columns; j++) sums[p][j] = _mm512_setzero_ps();
    }
    for (int64_t l = 0; l < k; l++) {
        const __m256 of_rows = _mm256_load_ps(a[l].scale);
        UNROLLED for (int j = 0; j < columns; j++) {
            const __m512 scales = _mm512_castps256_ps512(_mm256_mul_ps(of_rows, _mm256_broadcast_ss(&b[l].scale[j])));
            UNROLLED for (int p = 0; p < PAIRS; p++) {
                const __m512i dot = _mm512_dpbusd_epi32(a[l].offset[p], b[l].values[j], a[l].values[p]);
                sums[p][j] = _mm512_fmadd_ps(_mm512_permutexvar_ps(pair[p], scales), _mm512_cvtepi32_ps(dot), sums[p][j]);
            }
        }
    }
    UNROLLED for (int j = 0; j < columns; j++)
        UNROLLED for (int p = 0; p < PAIRS; p++) {
            const __m256 four = _mm256_add_ps(_mm512_extractf32x8_ps(sums[p][j], 1), _mm512_castps512_ps256(sums[p][j]));
            const __m128 two = _mm_add_ps(_mm256_extractf128_ps(four, 1), _mm256_castps256_ps128(four));
            float both[4];
            _mm_storeu_ps(both, _mm_add_ps(two, _mm_movehl_ps(two, two)));
            for (int i = 0; i < 2; i++)
                if (2 * p + i < rows) c[ldc * j + 2 * p + i] = both[i];
        }
}

VNNI static void tile_of(int columns, const row_panel *a, const column_panel *b, int64_t k, float *c, int64_t ldc, int rows) {
    switch (columns) {
        case 1: tile(a, b, k, c, ldc, rows, 1); break;
        case 2: tile(a, b, k, c, ldc, rows, 2); break;
        case 3: tile(a, b, k, c, ldc, rows, 3); break;
        default: tile(a, b, k, c, ldc, rows, COLUMNS);
    }
}

/* Whether a column holds -128: only what is not a number is quantized so (damaged weights make it), and llama.cpp, which
 * negates bytes, leaves that one as it is. So it computes such products itself. */
VNNI static bool holds_lowest(const block *b, int64_t ldb, int64_t n, int64_t k) {
    const __m256i lowest = _mm256_set1_epi8((char)0x80);
    for (int64_t j = 0; j < n; j++) {
        __mmask32 found = 0;
        for (int64_t l = 0; l < k; l++)
            found |= _mm256_cmpeq_epi8_mask(_mm256_loadu_si256((const __m256i *)b[ldb * j + l].values), lowest);
        if (found) return true;
    }
    return false;
}

static int least(int64_t one, int64_t other) { return (int)(one < other ? one : other); }

/* This thread's share of c[n][m] = a[m][k] x b[n][k], k in blocks, strides in elements. */
static void multiply(int thread, int threads, int64_t m, int64_t n, int64_t k, const block *a, int64_t lda, const block *b,
                     int64_t ldb, float *c, int64_t ldc) {
    const int64_t panels = (m + ROWS - 1) / ROWS, share = (panels + threads - 1) / threads;
    const int64_t first = share * thread, end = first + share < panels ? first + share : panels;
    const int64_t slice = COLUMNS * (int64_t)(CACHED / sizeof(column_panel) / (size_t)k);
    for (int64_t n0 = 0; n0 < n; n0 += slice) {
        const int64_t n1 = n0 + slice < n ? n0 + slice : n;
        for (int64_t j = n0; j < n1; j += COLUMNS)
            pack_columns(column_panels + (j - n0) / COLUMNS * k, b + ldb * j, ldb, k, least(n1 - j, COLUMNS));
        for (int64_t panel = first; panel < end; panel++) {
            const int64_t i = ROWS * panel;
            const int rows = least(m - i, ROWS);
            pack_rows(row_panels, a + lda * i, lda, k, rows);
            for (int64_t j = n0; j < n1; j += COLUMNS)
                tile_of(least(n1 - j, COLUMNS), row_panels, column_panels + (j - n0) / COLUMNS * k, k, c + ldc * j + i, ldc, rows);
        }
    }
}

bool llamafile_sgemm(const struct ggml_compute_params *params, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda,
                     const void *b, int64_t ldb, void *c, int64_t ldc, int type_a, int type_b, int type_c) {
    if (!in_use || type_a != Q8_0 || type_b != Q8_0 || type_c != F32 || n < LEAST_COLUMNS || k < 1 || k > MOST_BLOCKS ||
        holds_lowest(b, ldb, n, k))
        return pass_on(params, m, n, k, a, lda, b, ldb, c, ldc, type_a, type_b, type_c);
    const int *thread = (const int *)params;
    if (thread[0] == 0) __atomic_fetch_add(&products, 1, __ATOMIC_RELAXED);
    multiply(thread[0], thread[1], m, n, k, a, lda, b, ldb, c, ldc);
    return true;
}

#else

EXPORT bool orbitlm_fits_here(void) { return false; }

bool llamafile_sgemm(const struct ggml_compute_params *params, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda,
                     const void *b, int64_t ldb, void *c, int64_t ldc, int type_a, int type_b, int type_c) {
    return pass_on(params, m, n, k, a, lda, b, ldb, c, ldc, type_a, type_b, type_c);
}

#endif

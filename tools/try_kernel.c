/* Try the kernel of a wheel where no Python is at hand: under an emulator, or Wine.

       try_kernel KERNEL [more of them]

   Loads the library, runs its functions on rows of whole numbers, in which ties happen, for all
   instructions that it finds on this processor, and compares with plain loops.  Distances are exact
   in float64, so that all results must be equal.  A line for each; 1 if one differs. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#define load(path) ((void *)LoadLibraryA(path))
#define find(library, name) ((void *)(uintptr_t)GetProcAddress((HMODULE)(library), name))
#else
#include <dlfcn.h>
#define load(path) dlopen(path, RTLD_NOW)
#define find(library, name) dlsym(library, name)
#endif

/* As in kernel.c. */
enum { INTERFACE = 5, PANEL_WIDTH = 32, PANELS_AT_ONCE = 4, STEP = 8, SPARE_ROWS = 16 };
enum { NEVER_CHECK = 1 << 29, MAX_LEVEL = 5 };

typedef struct {
    int64_t level, d, width;
    double step, error_limit;
    const float *values;
    int8_t *codes;
    int32_t *norms, *sums;
    float *errors;
} quantized_rows;

typedef struct {
    quantized_rows queries;
    int64_t n_candidates;
    const float *candidate_values;
    const uint8_t *panels;
    const int32_t *offsets;
    const uint8_t *exclude;
    int64_t k;
    double *min_distances;
    int64_t *nearest;
    const int32_t *query_groups, *candidate_groups;
    double *min_distances_other;
} nearest_task;

typedef struct {
    quantized_rows rows;
    int64_t n;
    const uint8_t *panels;
    int32_t *thresholds;
    double *min_distances;
} centre_task;

static int (*interface_of)(void), (*supports)(int), (*largest_code)(int);
static void (*quantize)(const quantized_rows *, const float *, int64_t);
static void (*pack)(const quantized_rows *, int64_t, int64_t, uint8_t *, int32_t *);
static void (*update_nearest)(const nearest_task *, int64_t, int64_t, int32_t *);
static int64_t (*select_centres)(const centre_task *, int64_t, double, double, int64_t *, double *);
static void (*squared_distances)(int, const float *, int64_t, int64_t, const float *, double *);

static const char *const NAMES[] = {"", "NEON", "NEON dot product", "AVX2", "AVX-VNNI", "AVX-512 VNNI"};
static uint64_t state = 1;

/* A whole number from 0 to n - 1. */
static int64_t drawn(int64_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((state >> 33) % (uint64_t)n);
}

static void *room(size_t n, size_t size)
{
    void *found = calloc(n + 1, size);
    if (!found)
        exit(2);
    return found;
}

/* Rows of whole numbers; one in eight is the copy of another, one in sixteen is large. */
static float *drawn_rows(int64_t n, int64_t d)
{
    float *rows = room(n * d, sizeof(float));
    for (int64_t i = 0; i < n; i++) {
        int64_t copied = i && !drawn(8) ? drawn(i) : -1, factor = drawn(16) ? 1 : 9;
        for (int64_t k = 0; k < d; k++)
            rows[i * d + k] = copied < 0 ? (float)(factor * (drawn(41) - 20)) : rows[copied * d + k];
    }
    return rows;
}

static double squared(const float *a, const float *b, int64_t d)
{
    double sum = 0;
    for (int64_t k = 0; k < d; k++)
        sum += ((double)a[k] - b[k]) * ((double)a[k] - b[k]);
    return sum;
}

/* Quantize rows by a step that clips the large ones, and half of the errors above the limit. */
static quantized_rows quantized(int level, const float *values, int64_t n, int64_t d, int64_t spread)
{
    int64_t width = (d + STEP - 1) / STEP * STEP;
    quantized_rows rows = {level, d, width, (double)spread / largest_code(level), 0, values,
                           room((n + SPARE_ROWS) * width, 1), room(n, 4), room(n, 4), room(n, 4)};
    float *origin = room(d, sizeof(float));
    quantize(&rows, origin, n);
    free(origin);
    for (int64_t i = 0; i < n; i++)
        rows.error_limit += rows.errors[i] / (double)n;
    return rows;
}

static void release(quantized_rows *rows)
{
    free((void *)rows->values);
    free(rows->codes);
    free(rows->norms);
    free(rows->sums);
    free(rows->errors);
}

static int64_t padded(int64_t n)
{
    const int64_t at_once = PANEL_WIDTH * PANELS_AT_ONCE;
    return (n + at_once - 1) / at_once * at_once;
}

/* The k nearest of m candidates for each of n queries.  -> whether they are those of plain loops. */
static int nearest_agree(int level, int64_t n, int64_t m, int64_t d, int64_t k)
{
    quantized_rows a = quantized(level, drawn_rows(n, d), n, d, 20);
    quantized_rows b = quantized(level, drawn_rows(m, d), m, d, 20);
    a.error_limit = b.error_limit;
    uint8_t *panels = room(padded(m) * b.width, 1);
    int32_t *offsets = room(padded(m), 4), *thresholds = room(n + SPARE_ROWS, 4);
    double *found = room(n * k, 8), *expected = room(n * k, 8);
    int64_t *nearest = room(n * k, 8), *rows = room(n * k, 8);
    for (int64_t i = 0; i < n * k; i++) {
        found[i] = expected[i] = 1e300;
        nearest[i] = rows[i] = -1;
    }
    pack(&b, m, padded(m), panels, offsets);
    nearest_task task = {a, m, b.values, panels, offsets, NULL, k, found, nearest, NULL, NULL, NULL};
    update_nearest(&task, 0, n / 2, thresholds);
    update_nearest(&task, n / 2, n, thresholds);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m; j++) {
            double distance = squared(a.values + i * d, b.values + j * d, d);
            int64_t rank = k;
            for (; rank > 0 && distance < expected[i * k + rank - 1]; rank--)
                if (rank < k) {
                    expected[i * k + rank] = expected[i * k + rank - 1];
                    rows[i * k + rank] = rows[i * k + rank - 1];
                }
            if (rank < k) {
                expected[i * k + rank] = distance;
                rows[i * k + rank] = j;
            }
        }
    int equal = !memcmp(found, expected, n * k * 8) && !memcmp(nearest, rows, n * k * 8);
    release(&a);
    release(&b);
    free(panels), free(offsets), free(thresholds);
    free(found), free(expected), free(nearest), free(rows);
    return equal;
}

/* Greedy centres among n rows, and distances to a row.  -> whether they are those of plain loops. */
static int centres_agree(int level, int64_t n, int64_t d, int64_t n_max)
{
    quantized_rows rows = quantized(level, drawn_rows(n, d), n, d, 20);
    uint8_t *panels = room(padded(n) * rows.width, 1);
    int32_t *offsets = room(padded(n), 4), *thresholds = room(padded(n), 4);
    double *found = room(n, 8), *expected = room(n, 8), *before = room(n_max, 8);
    int64_t *centres = room(n_max, 8);
    squared_distances(level, rows.values, n, d, rows.values, found);
    int equal = 1;
    for (int64_t i = 0; i < n; i++) {
        expected[i] = squared(rows.values + i * d, rows.values, d);
        equal &= found[i] == expected[i];
    }
    for (int64_t i = n; i < padded(n); i++)
        thresholds[i] = NEVER_CHECK;
    pack(&rows, n, padded(n), panels, offsets);
    centre_task task = {rows, n, panels, thresholds, found};
    int64_t count = select_centres(&task, n_max, 0, 0, centres, before);
    for (int64_t c = 0; c <= n_max; c++) {
        int64_t farthest = 0;
        for (int64_t i = 1; i < n; i++)
            if (expected[i] > expected[farthest])
                farthest = i;
        if (c == n_max || expected[farthest] <= 0) {
            equal &= count == c;
            break;
        }
        equal &= c < count && centres[c] == farthest && before[c] == expected[farthest];
        for (int64_t i = 0; i < n; i++) {
            double distance = squared(rows.values + i * d, rows.values + farthest * d, d);
            expected[i] = distance < expected[i] ? distance : expected[i];
        }
        expected[farthest] = -1;
    }
    equal &= !memcmp(found, expected, n * 8);
    release(&rows);
    free(panels), free(offsets), free(thresholds);
    free(found), free(expected), free(before), free(centres);
    return equal;
}

/* All shapes at one level.  -> how many of them differ. */
static int differences(int level, int *n_shapes)
{
    static const int64_t DIMS[] = {1, 7, 8, 15, 16, 31, 33, 64, 100, 152, 513};
    int wrong = 0;
    for (size_t j = 0; j < sizeof DIMS / sizeof *DIMS; j++)
        for (int64_t n = 1; n < 400; n = n * 3 + 1) {
            wrong += !nearest_agree(level, n, 401 - n, DIMS[j], 1 + n % 3);
            wrong += !centres_agree(level, n, DIMS[j], 1 + n / 2);
            *n_shapes += 2;
        }
    return wrong;
}

/* Try one library.  -> how many shapes differ, or 1 if it cannot be loaded. */
static int tried(const char *path)
{
    void *library = load(path);
    if (!library) {
        printf("%s: expected a library that loads here, got none\n", path);
        return 1;
    }
#define FIND(function, name) (*(void **)&(function) = find(library, name))
    if (!FIND(interface_of, "int8_interface") || !FIND(supports, "int8_supports") ||
        !FIND(largest_code, "int8_largest_code") || !FIND(quantize, "int8_quantize") ||
        !FIND(pack, "int8_pack") || !FIND(update_nearest, "int8_update_nearest") ||
        !FIND(select_centres, "int8_select_centres") ||
        !FIND(squared_distances, "int8_squared_distances") || interface_of() != INTERFACE) {
        printf("%s: expected the functions of interface %d, got others\n", path, INTERFACE);
        return 1;
    }
    int wrong = 0, n_levels = 0;
    for (int level = MAX_LEVEL; level > 0; level--) {
        if (!supports(level))
            continue;
        int n_shapes = 0, here = differences(level, &n_shapes);
        printf("%s: %d of %d shapes as by plain loops\n", NAMES[level], n_shapes - here, n_shapes);
        wrong += here;
        n_levels++;
    }
    if (!n_levels)
        printf("no instructions that the kernel knows\n");
    return wrong;
}

int main(int argc, char **argv)
{
    int wrong = 0;
    for (int i = 1; i < argc; i++)
        wrong += tried(argv[i]);
    return wrong || argc < 2;
}

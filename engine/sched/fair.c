/* Who is next: weighted turns over jobs, then over the classes of a job. Each has a clock that advances by
 * what it was given; who is furthest behind is first. */
#include "sched/policy.h"

typedef struct entry {
    uint32_t job;
    uint64_t key;
    uint64_t clock; /* service got, on the scale of its job */
    uint32_t passed;
    bool waiting;
} entry;

typedef struct job_clock {
    uint32_t job;
    uint64_t clock;
} job_clock;

struct wr_fair {
    entry *entries;
    uint32_t count, capacity;
    job_clock *jobs;
    uint32_t job_count, job_capacity;
};

wr_status wr_fair_new(wr_fair **out, wr_error *err) {
    wr_fair *fair = wr_calloc(1, sizeof *fair);
    if (fair == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "fair: no memory");
    }
    *out = fair;
    return WR_OK;
}

void wr_fair_free(wr_fair *fair) {
    if (fair != NULL) {
        wr_free(fair->entries);
        wr_free(fair->jobs);
        wr_free(fair);
    }
}

static entry *find(wr_fair *fair, uint32_t job, uint64_t key) {
    for (uint32_t i = 0; i < fair->count; i++) {
        if (fair->entries[i].job == job && fair->entries[i].key == key) {
            return &fair->entries[i];
        }
    }
    return NULL;
}

static job_clock *find_job(wr_fair *fair, uint32_t job) {
    for (uint32_t i = 0; i < fair->job_count; i++) {
        if (fair->jobs[i].job == job) {
            return &fair->jobs[i];
        }
    }
    return NULL;
}

/* The least clock among the waiting entries of a job, or of all jobs that wait. */
static bool least_clock(wr_fair *fair, bool of_jobs, uint32_t job, uint64_t *out) {
    bool any = false;
    for (uint32_t i = 0; i < fair->count; i++) {
        if (!fair->entries[i].waiting || (!of_jobs && fair->entries[i].job != job)) {
            continue;
        }
        uint64_t clock = of_jobs ? find_job(fair, fair->entries[i].job)->clock : fair->entries[i].clock;
        if (!any || clock < *out) {
            *out = clock;
            any = true;
        }
    }
    return any;
}

static bool job_waits(wr_fair *fair, uint32_t job) {
    uint64_t clock;
    return least_clock(fair, false, job, &clock);
}

wr_status wr_fair_wait(wr_fair *fair, uint32_t job, uint64_t key, bool waiting, wr_error *err) {
    entry *e = find(fair, job, key);
    if (e == NULL && !waiting) {
        return WR_OK;
    }
    if (e == NULL) {
        job_clock *j = find_job(fair, job);
        if (j == NULL) {
            void *jobs = fair->jobs;
            WR_TRY(
                wr_array_reserve(&jobs, &fair->job_capacity, fair->job_count + 1, sizeof *fair->jobs, err));
            fair->jobs = jobs;
            fair->jobs[fair->job_count++] = (job_clock){.job = job};
        }
        void *entries = fair->entries;
        WR_TRY(wr_array_reserve(&entries, &fair->capacity, fair->count + 1, sizeof *fair->entries, err));
        fair->entries = entries;
        e = &fair->entries[fair->count++];
        *e = (entry){.job = job, .key = key};
    }
    if (waiting && !e->waiting) { /* time without a wish is not saved up */
        uint64_t least;
        if (!job_waits(fair, job) && least_clock(fair, true, 0, &least)) {
            job_clock *j = find_job(fair, job);
            j->clock = j->clock < least ? least : j->clock;
        }
        if (least_clock(fair, false, job, &least)) {
            e->clock = e->clock < least ? least : e->clock;
        }
        e->passed = 0;
    }
    e->waiting = waiting;
    return WR_OK;
}

void wr_fair_served(wr_fair *fair, uint32_t job, uint64_t key, uint64_t cost) {
    entry *e = find(fair, job, key);
    if (e != NULL) {
        cost = cost == 0 ? 1 : cost;
        e->clock += cost;
        e->passed = 0;
        find_job(fair, job)->clock += cost;
    }
}

void wr_fair_passed(wr_fair *fair, uint32_t job, uint64_t key) {
    entry *e = find(fair, job, key);
    if (e != NULL && e->passed < WR_FAIR_PASSED_MAX) {
        e->passed++;
    }
}

typedef struct ranked {
    uint64_t turn;      /* how many of its job come before it */
    uint64_t job_clock; /* the jobs' order within a turn */
    uint32_t job;
    uint64_t clock;
    uint64_t key;
    bool reserve;
} ranked;

/* Reserved ones first (they have waited longest), then by turn, job's clock, own clock. */
static int by_job_and_clock(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->job != y->job) {
        return x->job < y->job ? -1 : 1;
    }
    return x->clock != y->clock ? (x->clock < y->clock ? -1 : 1) : x->key < y->key ? -1 : x->key > y->key;
}

static int by_turn(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->reserve != y->reserve) {
        return x->reserve ? -1 : 1;
    }
    if (x->turn != y->turn) {
        return x->turn < y->turn ? -1 : 1;
    }
    if (x->job_clock != y->job_clock) {
        return x->job_clock < y->job_clock ? -1 : 1;
    }
    return x->job < y->job ? -1 : x->job > y->job;
}

uint32_t wr_fair_order(wr_fair *fair, wr_fair_entry *out, uint32_t max) {
    ranked *list = wr_calloc(fair->count == 0 ? 1 : fair->count, sizeof *list);
    uint32_t n = 0;
    for (uint32_t i = 0; list != NULL && i < fair->count; i++) {
        const entry *e = &fair->entries[i];
        if (e->waiting) {
            list[n++] = (ranked){.job_clock = find_job(fair, e->job)->clock,
                                 .job = e->job,
                                 .clock = e->clock,
                                 .key = e->key,
                                 .reserve = e->passed >= WR_FAIR_PASSED_MAX};
        }
    }
    if (n > 1) {
        qsort(list, n, sizeof *list, by_job_and_clock);
        for (uint32_t i = 1; i < n; i++) {
            list[i].turn = list[i].job == list[i - 1].job ? list[i - 1].turn + 1 : 0;
        }
        qsort(list, n, sizeof *list, by_turn);
    }
    n = n < max ? n : max;
    for (uint32_t i = 0; i < n; i++) {
        out[i] = (wr_fair_entry){.job = list[i].job, .key = list[i].key, .reserve = list[i].reserve};
    }
    wr_free(list);
    return n;
}

void wr_fair_forget_job(wr_fair *fair, uint32_t job) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < fair->count; i++) {
        if (fair->entries[i].job != job) {
            fair->entries[kept++] = fair->entries[i];
        }
    }
    fair->count = kept;
    for (uint32_t i = 0; i < fair->job_count; i++) {
        if (fair->jobs[i].job == job) {
            fair->jobs[i] = fair->jobs[--fair->job_count];
            break;
        }
    }
}

/* tests/kill/pool_kill.c: kills a process of the pool at each instruction of each operation, and looks
 * whether the rest lives.
 *
 * For each scenario and mode, the victim runs its operation instruction by instruction. At a point, a copy of
 * it that stands at that very instruction mode 0  is killed; mode 1  stands while all others act and submit
 * anew, and is killed; mode 2  as 1, but finishes its operation before it is killed; mode 3  as 2, but lives
 * on; mode 4  as 3, and meanwhile another process (its creator, or a worker) dies and is reaped. Then the
 * dead are reaped, the survivors go on until all have come to rest, and everything is checked: every result
 * came and is right, nothing ran twice, and nothing is left (world.c; wr_keeper_check). In the place of a
 * dead process a new one begins, and everything is checked again. A victim that is the raylet knows mode 3
 * only: its death ends the pool.
 */
#include "tests/kill/scenario.h"
#include "tests/kill/step.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

enum {
    MODES = 5,
    WRITES_MAX = 4096,
    POINTS_MAX = 1 << 20,
    ENDLESS = UINT32_MAX,
    HANG_SECONDS = 20,
    FED_EVERY = 64,
    AFTER_ROUNDS = 8
};

typedef struct options {
    bool all, fail_fast;
    uint32_t sample, seed, shown;
    const char *scenario;
    int64_t mode, at; /* -1: any */
} options;

/* One scenario in one mode. */
typedef struct track {
    const kill_scenario *scenario;
    uint32_t mode, length; /* instructions of the operation */
    uint32_t *writes; /* instructions after which the pool is another; of the scenario's first track, lent to
                         its others */
    uint32_t write_count;
    uint32_t *points; /* ascending */
    uint32_t count;
} track;

static struct {
    const track *track;
    uint32_t at;
} now; /* what a signal handler says */
static uint64_t points_run, failures;
static kill_image empty_world, set_up, standing;

/* ---- One point ---- */

static void say(const char *what, const char *text) {
    printf("%s %s, mode %" PRIu32 ", instruction %" PRIu32 ": %s\n", what, now.track->scenario->name,
           now.track->mode, now.at, text);
}

/* A new process in the slot of the dead one works as any other. */
static void use_slot_again(kill_who who) {
    uint32_t slot = world->slot[who];
    memset(world->ran, 0, sizeof world->ran);
    kill_attach(who);
    if (world->slot[who] != slot) {
        kill_wrong("the slot of the dead was not given again");
    }
    for (uint8_t k = 0; k < 3; k++) {
        kill_submit_id(who, (uint8_t)(60 + k));
    }
    kill_submit_id(who == DRIVER ? RIVAL : DRIVER, 70);
    wr_handle kept = world->out[who][0].handle;
    kill_submit(who, &(kill_call){.task = TASK_KEEP, .refs = &kept, .ref_count = 1});
    kill_submit(who, &(kill_call){.task = TASK_HEAP, .id = 63});
    kill_others(AFTER_ROUNDS, NOBODY);
    kill_check_rest(NOBODY);
    if (world->failed) {
        char first[sizeof world->why];
        memcpy(first, world->why, sizeof first);
        snprintf(world->why, sizeof world->why, "[slot used again] %.400s", first);
    }
}

static void after_death(kill_who victim) {
    kill_reap(victim);
    if (victim == ACTOR) {
        kill_actor_attach();
        kill_actor_begin();
        kill_others(AFTER_ROUNDS, NOBODY);
        kill_check_rest(NOBODY);
        return;
    }
    kill_others(AFTER_ROUNDS, NOBODY);
    kill_check_rest(victim);
    if (!world->failed) {
        use_slot_again(victim);
    }
}

static void act_while_it_finishes(void *arg) {
    kill_others(1, *(const kill_who *)arg);
}

/* The victim stands at now.at; ended: its operation is over. Consumes it. */
static void run_point(pid_t victim, bool ended) {
    const kill_scenario *scenario = now.track->scenario;
    uint32_t mode = now.track->mode;
    kill_who who = scenario->victim;
    if (mode >= 1 && !ended) {
        if (mode == 4) {
            kill_reap(who == DRIVER ? WORKER : DRIVER);
        }
        kill_others(4, who);
        int signal_number = 0;
        if (mode >= 2 &&
            kill_step_finish(victim, act_while_it_finishes, &who, &signal_number) != KILL_STEP_END) {
            kill_wrong("the victim was stopped by signal %d", signal_number);
        }
    }
    kill_step_kill(victim);
    world->raylet_stands = false;
    if (mode < 3) {
        after_death(who);
    } else {
        if (!world->alive[ACTOR] && !world->actor_port_dead) { /* the raylet reaped it */
            kill_actor_attach();
            kill_actor_begin();
        }
        kill_others(AFTER_ROUNDS, NOBODY);
        kill_check_rest(NOBODY);
    }
    points_run++;
}

/* ---- One track ---- */

static void run_op(void *arg) {
    const kill_scenario *scenario = arg;
    kill_on_sleep(NULL);
    scenario->op();
}

static void set_up_track(const track *t) {
    kill_image_restore(&empty_world, world->pool);
    world->resubmit = true;
    t->scenario->setup();
    world->uncounted = t->mode < 3;
    world->raylet_stands = t->scenario->victim == RAYLET;
    kill_image_take(&set_up, world->pool);
}

static pid_t open_victim(const track *t) {
    union {
        const kill_scenario *in;
        void *out;
    } arg = {t->scenario};
    return kill_step_open(run_op, arg.out);
}

/* Steps to instruction `to`; false: the operation ended before, or the victim broke. */
static bool step_to(pid_t victim, uint32_t *at, uint32_t to, bool *out_broken) {
    while (*at < to) {
        if (now.track->scenario->feeding == FED && *at % FED_EVERY == 0) {
            kill_pass();
        }
        int signal_number = 0;
        kill_step step = kill_step_once(victim, &signal_number);
        if (step == KILL_STEP_BROKEN) {
            now.at = *at;
            kill_wrong("the victim was stopped by signal %d", signal_number);
            *out_broken = true;
        }
        if (step != KILL_STEP_MORE) {
            return false;
        }
        ++*at;
    }
    return true;
}

/* Steps the whole operation: its length, and where it writes to the pool. */
static void measure(track *t, bool find_writes) {
    now.track = t;
    now.at = 0;
    alarm(HANG_SECONDS);
    set_up_track(t);
    pid_t victim = open_victim(t);
    bool broken = false;
    t->writes = malloc(sizeof(*t->writes) * WRITES_MAX);
    WR_ASSERT(t->writes != NULL);
    if (find_writes) {
        kill_image_take(&standing, world->pool);
    }
    while (step_to(victim, &t->length, t->length + 1, &broken)) {
        if (find_writes && t->write_count < WRITES_MAX && kill_image_differs(&standing, world->pool)) {
            t->writes[t->write_count++] = t->length;
            kill_image_take(&standing, world->pool);
        }
    }
    if (broken || world->failed) {
        say("FAIL", kill_why());
        failures++;
    }
    kill_step_kill(victim);
    alarm(0);
}

/* The victim's copy for a point; where there are no copies, a new victim. */
static pid_t copy_at(const track *t, pid_t victim, uint32_t at) {
    pid_t copy = kill_step_split(victim);
    if (copy == 0) {
        bool broken = false;
        uint32_t from = 0;
        kill_image_restore(&set_up, world->pool);
        copy = open_victim(t);
        step_to(copy, &from, at, &broken);
    }
    return copy;
}

static void run_track(const track *t, uint32_t shown, uint64_t *shown_so_far) {
    now.track = t;
    set_up_track(t);
    pid_t victim = open_victim(t);
    uint32_t at = 0;
    bool ended = false, broken = false;
    for (uint32_t k = 0; k < t->count && !ended && !broken; k++) {
        alarm(HANG_SECONDS);
        ended = !step_to(victim, &at, t->points[k], &broken);
        now.at = at;
        if (!broken) {
            kill_image_take(&standing, world->pool);
            run_point(copy_at(t, victim, at), ended);
        }
        if (world->failed) {
            failures++;
            if ((*shown_so_far)++ < shown) {
                say("FAIL", kill_why());
            }
        }
        kill_image_restore(&standing, world->pool);
    }
    kill_step_kill(victim);
    alarm(0);
}

/* ---- One sleeper ---- */

static bool is_asleep(void) {
    return kill_sleep_watched()->asleep;
}

static void run_sleeper(void *arg) {
    const kill_wake *wake = arg;
    kill_on_sleep(NULL);
    wake->op();
}

static void run_wake(const kill_wake *wake) {
    union {
        const kill_wake *in;
        void *out;
    } arg = {wake};
    kill_scenario named = {.name = wake->name};
    track t = {.scenario = &named};
    int signal_number = 0;
    now.track = &t;
    now.at = 0;
    alarm(HANG_SECONDS);
    kill_image_restore(&empty_world, world->pool);
    wake->setup();
    *kill_sleep_watched() = (kill_sleep_watch){.watched = true};
    pid_t pid = kill_step_open(run_sleeper, arg.out);
    kill_step step = kill_step_to_sleep(pid, is_asleep, &signal_number);
    if (step == KILL_STEP_END) {
        kill_wrong("it did not fall asleep");
    } else if (step == KILL_STEP_MORE) {
        wake->act();
        step = kill_step_to_end(pid, &signal_number);
    }
    if (step == KILL_STEP_BROKEN) {
        kill_wrong("the sleeper was stopped by signal %d", signal_number);
    }
    kill_step_kill(pid);
    if (kill_sleep_watched()->in_vain) {
        kill_wrong("nobody woke it");
    }
    if (!wr_pool_poisoned(world->pool)) {
        kill_others(AFTER_ROUNDS, NOBODY);
        kill_check_rest(NOBODY);
    }
    points_run++;
    if (world->failed) {
        failures++;
        say("FAIL", kill_why());
    }
    alarm(0);
    now.track = NULL;
}

static void run_wakes(const options *o) {
    uint64_t before = points_run, failures_before = failures;
    for (uint32_t k = 0; k < kill_wake_count; k++) {
        if (strstr(kill_wakes[k].name, o->scenario) != NULL && o->mode < 0) {
            run_wake(&kill_wakes[k]);
        }
    }
    if (points_run != before) {
        printf("%-50s %6s              %7" PRIu64 " points %4" PRIu64 " failures\n",
               "wake: sleepers and wakers", "", points_run - before, failures - failures_before);
    }
}

/* ---- Choosing points ---- */

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void choose_all(track *t) {
    t->count = t->length + 1;
    t->points = malloc(sizeof(*t->points) * t->count);
    WR_ASSERT(t->points != NULL);
    for (uint32_t k = 0; k < t->count; k++) {
        t->points[k] = k;
    }
}

/* One number out of each of `count` equal parts of [0, end). */
static void choose_evenly(uint32_t *out, uint32_t count, uint32_t end, uint64_t *random) {
    for (uint32_t k = 0; k < count; k++) {
        uint64_t from = (uint64_t)end * k / count, to = (uint64_t)end * (k + 1) / count;
        out[k] = (uint32_t)(from + next_random(random) % (to - from));
    }
}

/* Half of the points stand right behind a write to the pool, where what others see has just changed; the rest
 * anywhere. */
static void choose_some(track *t, uint32_t count, uint64_t *random) {
    t->count = count;
    t->points = malloc(sizeof(*t->points) * (count + 1));
    WR_ASSERT(t->points != NULL);
    uint32_t behind = (count + 1) / 2;
    behind = behind < t->write_count ? behind : t->write_count;
    choose_evenly(t->points, behind, t->write_count, random);
    for (uint32_t k = 0; k < behind; k++) {
        t->points[k] = t->writes[t->points[k]];
    }
    choose_evenly(t->points + behind, count - behind, t->length + 1, random);
    qsort(t->points, count, sizeof(*t->points), by_value);
}

/* The same number for each track, as far as it has so many; then round by round what is missing. */
static void choose(const options *o, track *tracks, uint32_t track_count) {
    uint64_t random = o->seed * 2654435761u + 1;
    if (o->at >= 0 || o->all) {
        for (uint32_t k = 0; k < track_count; k++) {
            if (o->all) {
                choose_all(&tracks[k]);
            } else {
                choose_some(&tracks[k], 1, &random);
                tracks[k].points[0] = (uint32_t)o->at;
            }
        }
        return;
    }
    uint32_t *share = malloc(sizeof *share * (track_count + 1)), left = o->sample;
    WR_ASSERT(share != NULL);
    memset(share, 0, sizeof *share * track_count);
    for (bool more = true; left != 0 && more;) {
        more = false;
        for (uint32_t k = 0; k < track_count && left != 0; k++) {
            /* The raylet has one mode, and as many points as another victim in all. */
            uint32_t more_points = tracks[k].scenario->victim == RAYLET ? MODES : 1;
            for (; more_points != 0 && left != 0 && share[k] < tracks[k].length + 1; more_points--) {
                share[k]++;
                left--;
                more = true;
            }
        }
    }
    for (uint32_t k = 0; k < track_count; k++) {
        choose_some(&tracks[k], share[k], &random);
    }
    free(share);
}

/* ---- The program ---- */

static void on_signal(int number) {
    char text[512];
    int n = snprintf(text, sizeof text, "FAIL %s, mode %" PRIu32 ", instruction %" PRIu32 ": %s\n",
                     now.track == NULL ? "setting up" : now.track->scenario->name,
                     now.track == NULL ? 0 : now.track->mode, now.at,
                     number == SIGALRM   ? "HANG"
                     : number == SIGABRT ? "abort"
                                         : "crash");
    ssize_t ignored = write(STDOUT_FILENO, text, n < 0 ? 0 : (size_t)n);
    (void)ignored;
    _exit(1);
}

static int usage(void) {
    fprintf(stderr, "pool_kill [--all | --sample N] [--scenario S] [--mode M] [--at I] [--seed K] "
                    "[--points-shown M] [--fail-fast]\n"
                    "  --all           every instruction of every operation\n"
                    "  --sample N      N points spread over all scenarios and modes (3000)\n"
                    "  --scenario S    only scenarios whose name contains S\n"
                    "  --mode M        only mode M (0 to 4)\n"
                    "  --at I          only the point at instruction I\n"
                    "  --seed K        of the sample (1)\n"
                    "  --points-shown M  failures shown for each scenario (3)\n"
                    "  --fail-fast     ends after the first scenario in which a point fails\n");
    return 2;
}

static bool number_of(const char *text, uint64_t max, uint64_t *out) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    *out = value;
    return *text >= '0' && *text <= '9' && *end == '\0' && value <= max;
}

static bool read_options(int argc, char **argv, options *o) {
    static const struct option known[] = {
        {"all", no_argument, NULL, 'a'},
        {"sample", required_argument, NULL, 'n'},
        {"scenario", required_argument, NULL, 's'},
        {"mode", required_argument, NULL, 'm'},
        {"at", required_argument, NULL, 'i'},
        {"seed", required_argument, NULL, 'k'},
        {"points-shown", required_argument, NULL, 'p'},
        {"fail-fast", no_argument, NULL, 'f'},
        {NULL, 0, NULL, 0},
    };
    *o = (options){.sample = 3000, .seed = 1, .shown = 3, .scenario = "", .mode = -1, .at = -1};
    for (int letter; (letter = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        uint64_t value = 0;
        if (letter != 'a' && letter != 'f' && letter != 's' &&
            (letter == '?' || !number_of(optarg, UINT32_MAX - 1, &value))) {
            return false;
        }
        switch (letter) {
        case 'a':
            o->all = true;
            break;
        case 'f':
            o->fail_fast = true;
            break;
        case 's':
            o->scenario = optarg;
            break;
        case 'n':
            o->sample = (uint32_t)value;
            break;
        case 'm':
            o->mode = (int64_t)value;
            break;
        case 'i':
            o->at = (int64_t)value;
            break;
        case 'k':
            o->seed = (uint32_t)value;
            break;
        default:
            o->shown = (uint32_t)value;
            break;
        }
    }
    return optind == argc;
}

/* The tracks of one scenario; all but the first borrow what was measured. */
static uint32_t make_scenario_tracks(const options *o, const kill_scenario *scenario, track *tracks) {
    uint32_t first_mode = scenario->victim == RAYLET ? 3 : 0,
             last_mode = scenario->victim == RAYLET ? 3 : MODES - 1;
    uint32_t count = 0;
    for (uint32_t mode = first_mode; mode <= last_mode; mode++) {
        if (o->mode >= 0 && o->mode != (int64_t)mode) {
            continue;
        }
        track *t = &tracks[count++];
        *t = (track){.scenario = scenario, .mode = mode};
        if (t == tracks) {
            measure(t, !o->all && o->at < 0);
        } else {
            t->length = tracks->length;
            t->writes = tracks->writes;
            t->write_count = tracks->write_count;
        }
    }
    return count;
}

/* out: owned by the caller. */
static uint32_t make_tracks(const options *o, track **out) {
    const kill_table *tables[] = {&kill_task_table, &kill_memory_table, &kill_raylet_table};
    uint32_t scenarios = 0, count = 0;
    for (size_t k = 0; k < WR_COUNT_OF(tables); k++) {
        scenarios += tables[k]->count;
    }
    *out = malloc(sizeof(**out) * scenarios * MODES);
    WR_ASSERT(*out != NULL);
    for (size_t k = 0; k < WR_COUNT_OF(tables); k++) {
        for (uint32_t s = 0; s < tables[k]->count; s++) {
            if (strstr(tables[k]->scenarios[s].name, o->scenario) != NULL) {
                count += make_scenario_tracks(o, &tables[k]->scenarios[s], *out + count);
            }
        }
    }
    return count;
}

int main(int argc, char **argv) {
    options o;
    if (!read_options(argc, argv, &o)) {
        return usage();
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    static const int fatal[] = {SIGALRM, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    for (size_t k = 0; k < WR_COUNT_OF(fatal); k++) {
        signal(fatal[k], on_signal);
    }
    kill_arena_open();
    kill_on_sleep(kill_pass);
    kill_world_open();
    if (kill_why() != NULL) {
        printf("FAIL setting up: %s\n", kill_why());
        return 1;
    }
    kill_image_take(&empty_world, world->pool);

    track *tracks;
    uint32_t count = make_tracks(&o, &tracks);
    choose(&o, tracks, count);
    for (uint32_t k = 0; k < count && !(o.fail_fast && failures != 0);) {
        const kill_scenario *scenario = tracks[k].scenario;
        uint64_t points_before = points_run, failures_before = failures, shown = 0;
        uint32_t length = tracks[k].length;
        free(tracks[k].writes);
        for (; k < count && tracks[k].scenario == scenario; k++) {
            run_track(&tracks[k], o.shown, &shown);
            free(tracks[k].points);
        }
        printf("%-50s %6" PRIu32 " instructions %7" PRIu64 " points %4" PRIu64 " failures\n", scenario->name,
               length, points_run - points_before, failures - failures_before);
    }
    free(tracks);
    if (!(o.fail_fast && failures != 0)) {
        run_wakes(&o);
    }
    printf("%" PRIu64 " points, %" PRIu64 " failures\n", points_run, failures);
    return failures != 0;
}

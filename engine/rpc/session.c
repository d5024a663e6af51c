#include "rpc/session.h"

enum { VARINT_MAX = 10 };

void wr_buffer_done(wr_buffer *buffer) {
    wr_free(buffer->data);
    memset(buffer, 0, sizeof *buffer);
}

static wr_status buffer_reserve(wr_buffer *buffer, size_t more, wr_error *err) {
    if (more > (size_t)INT32_MAX - buffer->bytes) {
        return WR_FAIL(err, WR_E_LIMIT, "a frame above 2 GiB");
    }
    void *data = buffer->data;
    WR_TRY(wr_array_reserve(&data, &buffer->capacity, buffer->bytes + (uint32_t)more, 1, err));
    buffer->data = data;
    return WR_OK;
}

static void put_varint(wr_buffer *buffer, uint64_t value) {
    for (; value >= 0x80; value >>= 7) {
        buffer->data[buffer->bytes++] = (uint8_t)(value | 0x80);
    }
    buffer->data[buffer->bytes++] = (uint8_t)value;
}

/* Field numbers of Frame in proto/cluster.proto, with the wire type: 0 varint, 2 bytes. */
enum {
    TAG_SRC = 1 << 3,
    TAG_EPOCH = 2 << 3,
    TAG_SESSION = 3 << 3,
    TAG_SEQ = 4 << 3,
    TAG_ACK = 5 << 3,
    TAG_MSG = 6 << 3 | 2
};

static wr_status put_head(wr_buffer *out, uint32_t src, uint64_t epoch, bool session, uint64_t seq,
                          uint64_t ack, wr_error *err) {
    out->bytes = 0;
    WR_TRY(buffer_reserve(out, 5 * (1 + VARINT_MAX), err));
    const uint64_t values[] = {src, epoch, session, seq, ack};
    const uint8_t tags[] = {TAG_SRC, TAG_EPOCH, TAG_SESSION, TAG_SEQ, TAG_ACK};
    for (size_t i = 0; i < WR_COUNT_OF(values); i++) {
        if (values[i] != 0) {
            out->data[out->bytes++] = tags[i];
            put_varint(out, values[i]);
        }
    }
    return WR_OK;
}

static wr_status put_record(wr_buffer *out, wr_span record, wr_error *err) {
    WR_TRY(buffer_reserve(out, (size_t)record.bytes + 1 + VARINT_MAX, err));
    out->data[out->bytes++] = TAG_MSG;
    put_varint(out, record.bytes);
    if (record.bytes > 0) {
        memcpy(out->data + out->bytes, record.data, record.bytes);
    }
    out->bytes += record.bytes;
    return WR_OK;
}

void wr_session_init(wr_session *s) {
    memset(s, 0, sizeof *s);
    s->first_seq = s->send_seq = s->in_next = 1;
}

static wr_session_record *record_at(const wr_session *s, uint32_t i) {
    return &s->records[(s->head + i) & (s->capacity - 1)];
}

void wr_session_done(wr_session *s) {
    for (uint32_t i = 0; i < s->count; i++) {
        wr_free(record_at(s, i)->data);
    }
    wr_free(s->records);
    wr_session_init(s);
}

wr_status wr_session_push(wr_session *s, uint8_t *data, uint32_t bytes, wr_error *err) {
    if (s->count == s->capacity) {
        uint32_t capacity = s->capacity == 0 ? 64 : s->capacity * 2;
        wr_session_record *grown = wr_calloc(capacity, sizeof *grown);
        if (grown == NULL) {
            wr_free(data);
            return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a session's queue");
        }
        for (uint32_t i = 0; i < s->count; i++) {
            grown[i] = *record_at(s, i);
        }
        wr_free(s->records);
        s->records = grown;
        s->capacity = capacity;
        s->head = 0;
    }
    s->count++;
    *record_at(s, s->count - 1) = (wr_session_record){data, bytes};
    s->bytes += bytes;
    return WR_OK;
}

void wr_session_acked(wr_session *s, uint64_t ack) {
    if (ack > s->first_seq + s->count) {
        return; /* never sent: not to be believed */
    }
    while (s->count > 0 && s->first_seq < ack) {
        wr_session_record *oldest = record_at(s, 0);
        s->bytes -= oldest->bytes;
        wr_free(oldest->data);
        s->head = (s->head + 1) & (s->capacity - 1);
        s->count--;
        s->first_seq++;
    }
    s->send_seq = s->send_seq < s->first_seq ? s->first_seq : s->send_seq;
}

void wr_session_rewind(wr_session *s) {
    s->send_seq = s->first_seq;
}

bool wr_session_has_unsent(const wr_session *s) {
    return s->send_seq < s->first_seq + s->count;
}

wr_status wr_session_accept(wr_session *s, uint64_t seq, bool *out_is_new, wr_error *err) {
    if (seq > s->in_next) {
        return WR_FAIL(err, WR_E_PROTOCOL, "record %lu came where %lu was expected", (unsigned long)seq,
                       (unsigned long)s->in_next);
    }
    *out_is_new = seq == s->in_next;
    s->in_next += *out_is_new;
    s->ack_due++;
    return WR_OK;
}

wr_status wr_session_frame(wr_session *s, uint32_t src, uint64_t epoch, uint32_t bytes_max, wr_buffer *out,
                           wr_error *err) {
    WR_TRY(put_head(out, src, epoch, true, s->send_seq, s->in_next, err));
    uint32_t i = (uint32_t)(s->send_seq - s->first_seq), begin = i;
    for (; i < s->count; i++) {
        const wr_session_record *r = record_at(s, i);
        if (i > begin && (uint64_t)out->bytes + r->bytes > bytes_max) {
            break;
        }
        WR_TRY(put_record(out, wr_span_of(r->data, r->bytes), err));
    }
    s->send_seq = s->first_seq + i;
    s->ack_due = 0;
    return WR_OK;
}

wr_status wr_frame_outside(uint32_t src, uint64_t epoch, wr_span record, wr_buffer *out, wr_error *err) {
    WR_TRY(put_head(out, src, epoch, false, 0, 0, err));
    return put_record(out, record, err);
}

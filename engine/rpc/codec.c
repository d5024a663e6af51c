#include "rpc/codec.h"

#include "rpc/arena.h"

#include <protobuf-c/protobuf-c.h>

#include "cluster.pb-c.h"

/* An input may ask for this much memory: 8 times its length covers every message of ours. */
enum { CAP_TIMES = 8, CAP_BASE = 1024 * 1024 };

static void *arena_alloc(void *arena, size_t bytes) {
    return wr_arena_take(arena, bytes);
}

static void arena_release(void *arena, void *memory) {
    (void)arena;
    (void)memory;
}

static ProtobufCAllocator allocator_of(wr_arena *arena) {
    return (ProtobufCAllocator){.alloc = arena_alloc, .free = arena_release, .allocator_data = arena};
}

static const ProtobufCFieldDescriptor *partner(const ProtobufCMessageDescriptor *proto, uint32_t i) {
    return &proto->fields[i]; /* sorted by number, which counts from 1 */
}

static bool is_all_zero(const uint8_t *p, uint32_t bytes) {
    uint8_t any = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        any |= p[i];
    }
    return any == 0;
}

/* ---- plain to proto: values are borrowed, messages and arrays lie in the arena */

static void *to_proto(const wr_struct_desc *desc, const ProtobufCMessageDescriptor *proto, const char *from,
                      wr_arena *arena);

static bool list_to_proto(const wr_field *f, const ProtobufCFieldDescriptor *p, const char *from, char *to,
                          wr_arena *arena) {
    const char *items;
    uint32_t count;
    memcpy(&items, from + f->offset, sizeof items);
    memcpy(&count, from + f->count_offset, sizeof count);
    size_t n = count;
    memcpy(to + p->quantifier_offset, &n, sizeof n);
    if (count == 0) {
        return true;
    }
    size_t each = f->kind == WR_FIELD_LIST       ? sizeof(void *)
                  : f->kind == WR_FIELD_LIST_U32 ? 4
                                                 : sizeof(ProtobufCBinaryData);
    char *array = wr_arena_take(arena, n * each);
    if (array == NULL) {
        return false;
    }
    memcpy(to + p->offset, &array, sizeof array);
    for (uint32_t i = 0; i < count; i++) {
        const char *item = items + (size_t)i * f->bytes;
        if (f->kind == WR_FIELD_LIST) {
            void *sub = to_proto(f->desc, p->descriptor, item, arena);
            if (sub == NULL) {
                return false;
            }
            memcpy(array + i * each, &sub, sizeof sub);
        } else if (f->kind == WR_FIELD_LIST_U32) {
            memcpy(array + i * each, item, 4);
        } else {
            const wr_span *span = (const wr_span *)(const void *)item;
            ProtobufCBinaryData data =
                f->kind == WR_FIELD_LIST_ID
                    ? (ProtobufCBinaryData){f->bytes, (uint8_t *)(uintptr_t)item}
                    : (ProtobufCBinaryData){span->bytes, (uint8_t *)(uintptr_t)span->data};
            memcpy(array + i * each, &data, sizeof data);
        }
    }
    return true;
}

static void *to_proto(const wr_struct_desc *desc, const ProtobufCMessageDescriptor *proto, const char *from,
                      wr_arena *arena) {
    WR_ASSERT(proto->n_fields == desc->field_count);
    char *to = wr_arena_take(arena, proto->sizeof_message);
    if (to == NULL) {
        return NULL;
    }
    protobuf_c_message_init(proto, to);
    for (uint32_t i = 0; i < desc->field_count; i++) {
        const wr_field *f = &desc->fields[i];
        const ProtobufCFieldDescriptor *p = partner(proto, i);
        const char *at = from + f->offset;
        ProtobufCBinaryData data;
        protobuf_c_boolean flag;
        void *part;
        switch (f->kind) {
        case WR_FIELD_U32:
        case WR_FIELD_I32:
        case WR_FIELD_U64:
            memcpy(to + p->offset, at, f->bytes);
            break;
        case WR_FIELD_FLAG:
            flag = *(const bool *)at;
            memcpy(to + p->offset, &flag, sizeof flag);
            break;
        case WR_FIELD_SPAN:
        case WR_FIELD_ID:
            if (f->kind == WR_FIELD_SPAN) {
                const wr_span *span = (const wr_span *)(const void *)at;
                data = (ProtobufCBinaryData){span->bytes, (uint8_t *)(uintptr_t)span->data};
            } else {
                bool none = is_all_zero((const uint8_t *)at, f->bytes);
                data = (ProtobufCBinaryData){none ? 0 : f->bytes, (uint8_t *)(uintptr_t)at};
            }
            memcpy(to + p->offset, &data, sizeof data);
            break;
        case WR_FIELD_PART:
            part = to_proto(f->desc, p->descriptor, at, arena);
            if (part == NULL) {
                return NULL;
            }
            memcpy(to + p->offset, &part, sizeof part);
            break;
        default:
            if (!list_to_proto(f, p, from, to, arena)) {
                return NULL;
            }
        }
    }
    return to;
}

static wr_status pack_message(const ProtobufCMessage *message, uint8_t **out, uint32_t *out_bytes,
                              wr_error *err) {
    size_t bytes = protobuf_c_message_get_packed_size(message);
    if (bytes > INT32_MAX) {
        return WR_FAIL(err, WR_E_LIMIT, "a message of %zu bytes", bytes);
    }
    uint8_t *packed = wr_calloc(1, bytes == 0 ? 1 : bytes);
    if (packed == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a message of %zu bytes", bytes);
    }
    protobuf_c_message_pack(message, packed);
    *out = packed;
    *out_bytes = (uint32_t)bytes;
    return WR_OK;
}

wr_status wr_struct_pack(const wr_struct_desc *desc, const ProtobufCMessageDescriptor *proto,
                         const void *from, uint8_t **out, uint32_t *out_bytes, wr_error *err) {
    WR_AUTO(wr_arena) arena = NULL;
    WR_TRY(wr_arena_new(SIZE_MAX / 2, &arena, err)); /* ours, not a stranger's: no cap */
    const ProtobufCMessage *message = to_proto(desc, proto, from, arena);
    if (message == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory to pack a %s", desc->name);
    }
    return pack_message(message, out, out_bytes, err);
}

wr_status wr_cluster_msg_pack(const wr_cluster_msg *msg, uint8_t **out, uint32_t *out_bytes, wr_error *err) {
    const wr_struct_desc *desc = wr_cluster_msg_desc(msg->type);
    if (desc == NULL) {
        return WR_FAIL(err, WR_E_INVALID, "no message type %u", msg->type);
    }
    WR_AUTO(wr_arena) arena = NULL;
    WR_TRY(wr_arena_new(SIZE_MAX / 2, &arena, err));
    const ProtobufCFieldDescriptor *p = partner(&whipray__cluster_msg__descriptor, msg->type - 1);
    Whipray__ClusterMsg whole = WHIPRAY__CLUSTER_MSG__INIT;
    void *body = to_proto(desc, p->descriptor, (const char *)&msg->u, arena);
    if (body == NULL) {
        return WR_FAIL(err, WR_E_NO_MEMORY, "no memory to pack a message");
    }
    memcpy((char *)&whole + p->offset, &body, sizeof body);
    whole.body_case = (Whipray__ClusterMsg__BodyCase)msg->type;
    return pack_message(&whole.base, out, out_bytes, err);
}

/* ---- proto to plain: everything in the arena, then one copy into a block */

static wr_status from_proto(const wr_struct_desc *desc, const ProtobufCMessageDescriptor *proto,
                            const char *from, char *to, wr_arena *arena, wr_error *err);

static wr_status out_of_arena(const wr_arena *arena, wr_error *err) {
    return wr_arena_hit_cap(arena) ? WR_FAIL(err, WR_E_LIMIT, "a message that asks for too much memory")
                                   : WR_FAIL(err, WR_E_NO_MEMORY, "no memory to unpack a message");
}

static wr_status id_from_proto(const wr_field *f, const ProtobufCBinaryData *data, char *to, wr_error *err) {
    if (data->len != 0 && data->len != f->bytes) {
        return WR_FAIL(err, WR_E_PROTOCOL, "%s: an id of %zu bytes, must be %u", f->name, data->len,
                       f->bytes);
    }
    if (data->len != 0) {
        memcpy(to, data->data, f->bytes);
    }
    return WR_OK;
}

static wr_status span_from_proto(const wr_field *f, const ProtobufCBinaryData *data, char *to,
                                 wr_error *err) {
    if (data->len > UINT32_MAX) {
        return WR_FAIL(err, WR_E_PROTOCOL, "%s: %zu bytes", f->name, data->len);
    }
    wr_span span = {data->data, (uint32_t)data->len};
    memcpy(to, &span, sizeof span);
    return WR_OK;
}

static wr_status list_from_proto(const wr_field *f, const ProtobufCFieldDescriptor *p, const char *from,
                                 char *to, wr_arena *arena, wr_error *err) {
    size_t n;
    const char *array;
    memcpy(&n, from + p->quantifier_offset, sizeof n);
    memcpy(&array, from + p->offset, sizeof array);
    if (n > UINT32_MAX / 2) {
        return WR_FAIL(err, WR_E_PROTOCOL, "%s: %zu items", f->name, n);
    }
    uint32_t count = (uint32_t)n;
    memcpy(to + f->count_offset, &count, sizeof count);
    if (count == 0) {
        return WR_OK;
    }
    char *items = wr_arena_take(arena, n * f->bytes);
    if (items == NULL) {
        return out_of_arena(arena, err);
    }
    memcpy(to + f->offset, &items, sizeof items);
    for (uint32_t i = 0; i < count; i++, items += f->bytes) {
        if (f->kind == WR_FIELD_LIST) {
            const char *sub;
            memcpy(&sub, array + i * sizeof sub, sizeof sub);
            WR_TRY(from_proto(f->desc, p->descriptor, sub, items, arena, err));
        } else if (f->kind == WR_FIELD_LIST_U32) {
            memcpy(items, array + i * 4ull, 4);
        } else {
            ProtobufCBinaryData data;
            memcpy(&data, array + i * sizeof data, sizeof data);
            WR_TRY(f->kind == WR_FIELD_LIST_ID ? id_from_proto(f, &data, items, err)
                                               : span_from_proto(f, &data, items, err));
        }
    }
    return WR_OK;
}

static wr_status from_proto(const wr_struct_desc *desc, const ProtobufCMessageDescriptor *proto,
                            const char *from, char *to, wr_arena *arena, wr_error *err) {
    WR_ASSERT(proto->n_fields == desc->field_count);
    for (uint32_t i = 0; i < desc->field_count; i++) {
        const wr_field *f = &desc->fields[i];
        const ProtobufCFieldDescriptor *p = partner(proto, i);
        const char *at = from + p->offset;
        ProtobufCBinaryData data;
        const char *part;
        protobuf_c_boolean flag;
        switch (f->kind) {
        case WR_FIELD_U32:
        case WR_FIELD_I32:
        case WR_FIELD_U64:
            memcpy(to + f->offset, at, f->bytes);
            break;
        case WR_FIELD_FLAG:
            memcpy(&flag, at, sizeof flag);
            *(bool *)(to + f->offset) = flag != 0;
            break;
        case WR_FIELD_SPAN:
            memcpy(&data, at, sizeof data);
            WR_TRY(span_from_proto(f, &data, to + f->offset, err));
            break;
        case WR_FIELD_ID:
            memcpy(&data, at, sizeof data);
            WR_TRY(id_from_proto(f, &data, to + f->offset, err));
            break;
        case WR_FIELD_PART:
            memcpy(&part, at, sizeof part);
            if (part != NULL) {
                WR_TRY(from_proto(f->desc, p->descriptor, part, to + f->offset, arena, err));
            }
            break;
        default:
            WR_TRY(list_from_proto(f, p, from, to, arena, err));
        }
    }
    return WR_OK;
}

static wr_status unpack_message(const ProtobufCMessageDescriptor *proto, wr_span bytes, wr_arena **out_arena,
                                ProtobufCMessage **out, wr_error *err) {
    WR_AUTO(wr_arena) arena = NULL;
    WR_TRY(wr_arena_new((size_t)bytes.bytes * CAP_TIMES + CAP_BASE, &arena, err));
    ProtobufCAllocator allocator = allocator_of(arena);
    *out = protobuf_c_message_unpack(proto, &allocator, bytes.bytes, bytes.data);
    if (*out == NULL) {
        return wr_arena_hit_cap(arena)
                   ? out_of_arena(arena, err)
                   : WR_FAIL(err, WR_E_PROTOCOL, "%u bytes that are no %s", bytes.bytes, proto->short_name);
    }
    *out_arena = wr_steal(&arena);
    return WR_OK;
}

wr_status wr_struct_unpack(const wr_struct_desc *desc, const ProtobufCMessageDescriptor *proto, wr_span bytes,
                           void **out, wr_error *err) {
    WR_AUTO(wr_arena) arena = NULL;
    ProtobufCMessage *message;
    WR_TRY(unpack_message(proto, bytes, &arena, &message, err));
    char *plain = wr_arena_take(arena, desc->bytes);
    if (plain == NULL) {
        return out_of_arena(arena, err);
    }
    WR_TRY(from_proto(desc, proto, (const char *)message, plain, arena, err));
    return wr_struct_dup(desc, plain, 0, 0, out, err);
}

static wr_status body_from_proto(const Whipray__ClusterMsg *whole, wr_arena *arena, wr_cluster_msg **out,
                                 wr_error *err) {
    wr_cluster_msg msg = {.type = (uint32_t)whole->body_case};
    const wr_struct_desc *desc = wr_cluster_msg_desc(msg.type);
    if (desc == NULL) {
        return WR_FAIL(err, WR_E_PROTOCOL, "a message of unknown type");
    }
    const ProtobufCFieldDescriptor *p = partner(&whipray__cluster_msg__descriptor, msg.type - 1);
    const char *body;
    memcpy(&body, (const char *)whole + p->offset, sizeof body);
    if (body == NULL) {
        return WR_FAIL(err, WR_E_PROTOCOL, "a message without a body");
    }
    WR_TRY(from_proto(desc, p->descriptor, body, (char *)&msg.u, arena, err));
    return wr_cluster_msg_dup(&msg, out, err);
}

wr_status wr_cluster_msg_unpack(wr_span bytes, wr_cluster_msg **out, wr_error *err) {
    WR_AUTO(wr_arena) arena = NULL;
    ProtobufCMessage *message;
    WR_TRY(unpack_message(&whipray__cluster_msg__descriptor, bytes, &arena, &message, err));
    return body_from_proto((const Whipray__ClusterMsg *)message, arena, out, err);
}

wr_status wr_cluster_frame_unpack(wr_span bytes, wr_cluster_frame *out, wr_error *err) {
    memset(out, 0, sizeof *out);
    WR_AUTO(wr_arena) arena = NULL;
    ProtobufCMessage *message;
    WR_TRY(unpack_message(&whipray__frame__descriptor, bytes, &arena, &message, err));
    const Whipray__Frame *frame = (const Whipray__Frame *)message;
    wr_cluster_frame made = {.src = frame->src,
                             .epoch = frame->epoch,
                             .seq = frame->seq,
                             .ack = frame->ack,
                             .session = frame->session != 0};
    if (frame->n_msgs > 0) {
        made.msgs = wr_calloc(frame->n_msgs, sizeof *made.msgs);
        if (made.msgs == NULL) {
            return WR_FAIL(err, WR_E_NO_MEMORY, "no memory for a frame");
        }
    }
    for (; made.count < frame->n_msgs; made.count++) {
        wr_status status = body_from_proto(frame->msgs[made.count], arena, &made.msgs[made.count], err);
        if (status != WR_OK) {
            wr_cluster_frame_done(&made);
            return status;
        }
    }
    *out = made;
    return WR_OK;
}

void wr_cluster_frame_done(wr_cluster_frame *frame) {
    for (uint32_t i = 0; i < frame->count; i++) {
        wr_cluster_msg_free(frame->msgs[i]);
    }
    wr_free(frame->msgs);
    memset(frame, 0, sizeof *frame);
}

/* ---- do the two descriptions agree? */

static bool kind_matches(const wr_field *f, const ProtobufCFieldDescriptor *p) {
    bool repeated = p->label == PROTOBUF_C_LABEL_REPEATED;
    switch (f->kind) {
    case WR_FIELD_U32:
        return !repeated && p->type == PROTOBUF_C_TYPE_UINT32;
    case WR_FIELD_U64:
        return !repeated && p->type == PROTOBUF_C_TYPE_UINT64;
    case WR_FIELD_I32:
        return !repeated && p->type == PROTOBUF_C_TYPE_SINT32;
    case WR_FIELD_FLAG:
        return !repeated && p->type == PROTOBUF_C_TYPE_BOOL;
    case WR_FIELD_SPAN:
    case WR_FIELD_ID:
        return !repeated && p->type == PROTOBUF_C_TYPE_BYTES;
    case WR_FIELD_PART:
        return !repeated && p->type == PROTOBUF_C_TYPE_MESSAGE;
    case WR_FIELD_LIST:
        return repeated && p->type == PROTOBUF_C_TYPE_MESSAGE;
    case WR_FIELD_LIST_U32:
        return repeated && p->type == PROTOBUF_C_TYPE_UINT32;
    case WR_FIELD_LIST_SPAN:
    case WR_FIELD_LIST_ID:
        return repeated && p->type == PROTOBUF_C_TYPE_BYTES;
    }
    return false;
}

bool wr_struct_matches(const wr_struct_desc *desc, const ProtobufCMessageDescriptor *proto, wr_error *why) {
    if (proto->n_fields != desc->field_count) {
        (void)WR_FAIL(why, WR_E_INTERNAL, "%s has %u fields, %s has %u", desc->name, desc->field_count,
                      proto->name, proto->n_fields);
        return false;
    }
    for (uint32_t i = 0; i < desc->field_count; i++) {
        const wr_field *f = &desc->fields[i];
        const ProtobufCFieldDescriptor *p = partner(proto, i);
        if (p->id != i + 1 || strcmp(p->name, f->name) != 0 || !kind_matches(f, p)) {
            (void)WR_FAIL(why, WR_E_INTERNAL, "%s.%s is not %s.%s = %u", desc->name, f->name, proto->name,
                          p->name, p->id);
            return false;
        }
        if (f->desc != NULL && !wr_struct_matches(f->desc, p->descriptor, why)) {
            return false;
        }
    }
    return true;
}

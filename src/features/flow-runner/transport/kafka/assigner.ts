/** Speaks the usual protocol of consumers, under a name that other clients know too, so that they may be in the group. */
import kafkajs, { type Cluster, type PartitionAssigner } from 'kafkajs';
import { assignPartitions } from './assign-partitions.ts';

const { MemberAssignment, MemberMetadata } = kafkajs.AssignerProtocol;
const NAME = 'roundrobin';
const VERSION = 0;

/** The client’s cluster, as far as its types leave it out. */
interface TopicCluster extends Cluster {
  addMultipleTargetTopics(topics: readonly string[]): Promise<void>;
}

export const assigner: PartitionAssigner = ({ cluster }) => ({
  name: NAME,
  version: VERSION,
  protocol: ({ topics }) => ({
    name: NAME,
    metadata: MemberMetadata.encode({ version: VERSION, topics, userData: Buffer.alloc(0) }),
  }),
  async assign({ members }) {
    const subscribed = members.map(({ memberId, memberMetadata }) => ({
      id: memberId,
      topics: MemberMetadata.decode(memberMetadata)?.topics ?? [],
    }));
    const topics = [...new Set(subscribed.flatMap((member) => member.topics))];
    // Of topics that only others have subscribed to nothing is known yet.
    await (cluster as TopicCluster).addMultipleTargetTopics(topics);
    const partitions = new Map(
      topics.map((topic) => [topic, cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => partitionId)]),
    );
    return [...assignPartitions(subscribed, partitions)].map(([memberId, assigned]) => ({
      memberId,
      memberAssignment: MemberAssignment.encode({
        version: VERSION,
        assignment: Object.fromEntries(assigned),
        userData: Buffer.alloc(0),
      }),
    }));
  },
});

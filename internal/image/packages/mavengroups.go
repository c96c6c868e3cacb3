package packages

import "strings"

// Much that is in use is built by Gradle, Ant or Bazel, which leave no group in an
// archive: all of Spring, Tomcat, Kotlin. These are facts of the public repository, not
// guesses: an artifact of the name is published by this group only, and the archive holds
// classes below the folder that are its own. Artifacts whose group has changed over time
// (hibernate-core, groovy) are not here.
var knownJars = func() map[string]knownJar {
	m := map[string]knownJar{}
	for line := range strings.Lines(`
org.springframework org/springframework/ spring-core spring-beans spring-context spring-context-support spring-aop spring-aspects spring-expression spring-jdbc spring-jms spring-messaging spring-orm spring-oxm spring-r2dbc spring-test spring-tx spring-web spring-webmvc spring-webflux spring-websocket
org.springframework org/apache/commons/logging/ spring-jcl
org.springframework.boot org/springframework/boot/ spring-boot spring-boot-autoconfigure spring-boot-actuator spring-boot-actuator-autoconfigure spring-boot-devtools
org.springframework.security org/springframework/security/ spring-security-core spring-security-web spring-security-config spring-security-crypto spring-security-acl spring-security-cas spring-security-ldap spring-security-messaging spring-security-oauth2-core spring-security-oauth2-client spring-security-oauth2-jose spring-security-oauth2-resource-server spring-security-saml2-service-provider
org.springframework.kafka org/springframework/kafka/ spring-kafka
org.springframework.integration org/springframework/integration/ spring-integration-core
org.springframework.amqp org/springframework/amqp/ spring-amqp spring-rabbit
org.springframework.session org/springframework/session/ spring-session-core
org.springframework.batch org/springframework/batch/ spring-batch-core
org.apache.tomcat.embed org/apache/ tomcat-embed-core tomcat-embed-el tomcat-embed-jasper tomcat-embed-websocket
org.apache.kafka org/apache/kafka/ kafka-clients kafka_2.12 kafka_2.13 kafka-streams connect-runtime connect-api
org.apache.lucene org/apache/lucene/ lucene-core
org.apache.velocity org/apache/velocity/ velocity
org.elasticsearch org/elasticsearch/ elasticsearch
org.opensearch org/opensearch/ opensearch
org.ow2.asm org/objectweb/asm/ asm asm-tree asm-commons asm-analysis asm-util
org.bouncycastle org/bouncycastle/ bcprov-jdk14 bcprov-jdk15on bcprov-jdk15to18 bcprov-jdk18on bcpkix-jdk15on bcpkix-jdk15to18 bcpkix-jdk18on bcpg-jdk15on bcpg-jdk18on bcmail-jdk15on bcmail-jdk18on bctls-jdk15on bctls-jdk18on
org.jetbrains.kotlin kotlin/ kotlin-stdlib kotlin-reflect
com.squareup.okhttp3 okhttp3/ okhttp
com.squareup.okio okio/ okio okio-jvm
com.squareup.retrofit2 retrofit2/ retrofit
io.grpc io/grpc/ grpc-api grpc-auth grpc-context grpc-core grpc-netty grpc-netty-shaded grpc-okhttp grpc-protobuf grpc-services grpc-stub grpc-xds
io.micrometer io/micrometer/ micrometer-core
io.micronaut io/micronaut/ micronaut-core micronaut-http micronaut-http-server micronaut-http-server-netty micronaut-http-client
io.projectreactor reactor/ reactor-core
io.projectreactor.netty reactor/netty/ reactor-netty-core reactor-netty-http
com.github.ben-manes.caffeine com/github/benmanes/caffeine/ caffeine
org.postgresql org/postgresql/ postgresql
mysql com/mysql/ mysql-connector-java
com.mysql com/mysql/ mysql-connector-j
com.h2database org/h2/ h2
org.hsqldb org/hsqldb/ hsqldb
org.mozilla org/mozilla/javascript/ rhino
org.quartz-scheduler org/quartz/ quartz
xalan org/apache/xalan/ xalan
xerces org/apache/xerces/ xercesImpl
`) {
		if f := strings.Fields(line); len(f) > 2 {
			for _, artifact := range f[2:] {
				m[artifact] = knownJar{f[0], f[1]}
			}
		}
	}
	return m
}()

// A knownJar is the group of an artifact, and the folder of its own classes.
type knownJar struct{ group, folder string }
